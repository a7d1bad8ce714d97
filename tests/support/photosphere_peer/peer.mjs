// An independent Photosphere peer for tests, in either role, written from the protocol's description alone.
// Configuration: one JSON object on standard input. Reports: one JSON object per line on standard output.

import { createHash } from "node:crypto";
import { createSocket } from "node:dgram";
import https from "node:https";
import { text } from "node:stream/consumers";

const DISCOVERY_PORT = 54321;
const report = (event, more = {}) => process.stdout.write(JSON.stringify({ event, ...more }) + "\n");
const sha256 = (data) => createHash("sha256").update(data).digest("hex");

function finish(outcome, more = {}) {
  report("done", { outcome, ...more });
  process.stdout.write("", () => process.exit(0));
}

// --- receiver ---

function receive({ code, key, cert, certDer, waitSeconds, maxVersion }) {
  const fingerprint = sha256(Buffer.from(certDer, "base64"));
  const codeHash = sha256(Buffer.from(code, "utf8"));
  let served = 0;
  const server = https.createServer({ key, cert, minVersion: "TLSv1.2", maxVersion: maxVersion ?? "TLSv1.3" });
  const answer = (response, status, value, after) => {
    response.writeHead(status, { "Content-Type": "application/json" });
    response.end(JSON.stringify(value), after);
  };
  server.on("request", (request, response) => {
    const chunks = [];
    request.on("data", (chunk) => chunks.push(chunk));
    request.on("end", () => {
      served += 1;
      if (served > 5) {
        return answer(response, 429, { error: "Too many requests" }, () => finish("used-up"));
      }
      if (request.method === "GET" && request.url === "/pairing-code-hash") {
        return answer(response, 200, { codeHash });
      }
      if (request.method !== "POST" || request.url !== "/share-payload") {
        return answer(response, 404, { error: "Not found" });
      }
      let body;
      try {
        body = JSON.parse(Buffer.concat(chunks).toString("utf8"));
      } catch {
        return answer(response, 400, { error: "Invalid JSON" });
      }
      if (body?.codeHash !== codeHash) {
        return answer(response, 403, { error: "Invalid pairing code" });
      }
      const headers = { type: request.headers["content-type"], length: request.headers["content-length"] };
      const tls = { version: request.socket.getProtocol(), servername: request.socket.servername };
      return answer(response, 200, { success: true }, () => finish("received", { payload: body.payload, headers, tls }));
    });
  });
  server.listen(0, "0.0.0.0", () => {
    const port = server.address().port;
    const datagram = Buffer.from(`PSIE_RECV:${port}:${fingerprint}`, "ascii");
    const socket = createSocket("udp4");
    socket.on("error", () => {});
    socket.bind(0, () => {
      socket.setBroadcast(true);
      const announce = () => {
        for (const host of ["255.255.255.255", "127.0.0.1"]) {
          socket.send(datagram, DISCOVERY_PORT, host, () => {});
        }
      };
      announce();
      setInterval(announce, 1000);
      report("listening", { port, fingerprint });
    });
  });
  setTimeout(() => finish("nobody-came"), waitSeconds * 1000);
}

// --- sender ---

function parse(datagram) {
  const match = /^PSIE_RECV:(\d+):([0-9a-f]{64})$/.exec(datagram.toString("ascii"));
  const port = match ? Number(match[1]) : 0;
  return match && port >= 1 && port <= 65535 ? { port, fingerprint: match[2] } : null;
}

function exchange(target, method, path, body, { agent, maxVersion, checks, timeoutSeconds }) {
  return new Promise((resolve, reject) => {
    const headers = body === null ? {} : { "Content-Type": "application/json", "Content-Length": body.length };
    const request = https.request(
      { ...target, method, path, agent, headers, rejectUnauthorized: false, maxVersion, servername: "" },
      async (response) => {
        try {
          resolve({ status: response.statusCode, type: response.headers["content-type"], body: await text(response) });
        } catch (error) {
          reject(error);
        }
      },
    );
    request.setTimeout(timeoutSeconds * 1000, () => request.destroy(new Error("timeout")));
    request.on("error", reject);
    request.on("socket", (socket) => {
      const proceed = () => {
        const seen = sha256(socket.getPeerCertificate(true).raw ?? Buffer.alloc(0));
        if (checks && seen !== target.fingerprint) {
          return request.destroy(new Error("another certificate"));
        }
        return request.end(body ?? undefined);
      };
      return socket.secureConnecting === false ? proceed() : socket.once("secureConnect", proceed);
    });
  });
}

async function send({ code, payload, waitSeconds, maxVersion = "TLSv1.3", oneConnection = false, checks = true }) {
  const socket = createSocket({ type: "udp4", reuseAddr: true });
  const timer = setTimeout(() => finish("no-receiver"), waitSeconds * 1000);
  const heard = await new Promise((resolve) => {
    socket.on("message", (datagram, source) => {
      const found = parse(datagram);
      if (found) resolve({ host: source.address, ...found });
    });
    socket.bind(DISCOVERY_PORT, "0.0.0.0", () => report("listening"));
  });
  clearTimeout(timer);
  socket.close();
  report("heard", heard);
  const agent = oneConnection ? new https.Agent({ keepAlive: true, maxSockets: 1 }) : false;
  const how = { agent, maxVersion, checks };
  const codeHash = sha256(Buffer.from(code, "utf8"));
  const asked = await exchange(heard, "GET", "/pairing-code-hash", null, { ...how, timeoutSeconds: 10 });
  if (asked.status !== 200 || JSON.parse(asked.body).codeHash !== codeHash) {
    return finish("not-the-right-receiver", { asked });
  }
  const body = Buffer.from(JSON.stringify({ codeHash, payload }), "utf8");
  const posted = await exchange(heard, "POST", "/share-payload", body, { ...how, timeoutSeconds: 60 });
  const outcome = posted.status === 200 ? "delivered" : posted.status === 403 ? "rejected" : "failed";
  return finish(outcome, { asked, posted });
}

const configuration = JSON.parse(await text(process.stdin));
if (configuration.role === "receiver") {
  receive(configuration);
} else {
  send(configuration).catch((error) => finish("failed", { error: String(error.message) }));
}
