"""What `keybaton run` hands to a program and how it becomes that program. Shared by the hot and the complete form.

Everything is bytes, as the kernel has it.
"""

import _signal  # type: ignore[import-not-found]  # `signal` builds enumerations, which takes as long as the rest
import posix

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Collection, Mapping
    from typing import NoReturn

NOT_FOUND_CODE, NOT_EXECUTABLE_CODE = 127, 126  # as every shell exits (POSIX.1-2017, 2.8.2)
_DEFAULT_PATH = b"/usr/local/bin:/usr/bin:/bin"

# Variables by which whoever can change an environment makes other programs run code of theirs, or run in place of them.
HIJACKING = frozenset(
    b"PATH HOME XDG_CONFIG_HOME XDG_CONFIG_DIRS XDG_DATA_DIRS "
    b"IFS ENV BASH_ENV SHELLOPTS BASHOPTS PROMPT_COMMAND PS4 CDPATH ZDOTDIR SHELL FPATH "
    b"NODE_OPTIONS NODE_PATH NODE_EXTRA_CA_CERTS NODE_REPL_EXTERNAL_MODULE "
    b"PYTHONSTARTUP PYTHONPATH PYTHONHOME PYTHONUSERBASE PYTHONINSPECT PYTHONBREAKPOINT PYTHONWARNINGS "
    b"PYTHONPYCACHEPREFIX PYTHONPLATLIBDIR PYTHONEXECUTABLE "
    b"PERL5OPT PERL5LIB PERL5DB PERLLIB RUBYOPT RUBYLIB GEM_HOME GEM_PATH BUNDLE_GEMFILE PHPRC PHP_INI_SCAN_DIR "
    b"JAVA_TOOL_OPTIONS _JAVA_OPTIONS JDK_JAVA_OPTIONS CLASSPATH MAVEN_OPTS GRADLE_OPTS "
    b"DOTNET_STARTUP_HOOKS DOTNET_ADDITIONAL_DEPS JULIA_LOAD_PATH R_PROFILE R_PROFILE_USER R_ENVIRON R_ENVIRON_USER "
    b"ERL_FLAGS ERL_AFLAGS ERL_ZFLAGS ERL_LIBS ELIXIR_ERL_OPTIONS "
    b"GIT_SSH GIT_SSH_COMMAND GIT_EXEC_PATH GIT_ASKPASS GIT_EXTERNAL_DIFF GIT_PAGER GIT_EDITOR GIT_SEQUENCE_EDITOR "
    b"GIT_DIR GIT_COMMON_DIR GIT_TEMPLATE_DIR GIT_PROXY_COMMAND SSH_ASKPASS SUDO_ASKPASS EDITOR VISUAL PAGER MANPAGER BROWSER "
    b"LESSOPEN LESSCLOSE LESSKEY LESSKEYIN "
    b"VIMINIT GVIMINIT EXINIT TAR_OPTIONS RSYNC_RSH SVN_SSH CVS_RSH HGRCPATH WGETRC CURL_HOME "
    b"GCONV_PATH GLIBC_TUNABLES GETCONF_DIR HOSTALIASES LOCALDOMAIN LOCPATH MALLOC_TRACE NIS_PATH NLSPATH RESOLV_HOST_CONF "
    b"TERMINFO TERMINFO_DIRS TERMCAP OPENSSL_CONF OPENSSL_MODULES OPENSSL_ENGINES SSLKEYLOGFILE "
    b"GOFLAGS GOTOOLCHAIN RUSTC RUSTC_WRAPPER RUSTFLAGS CC CXX MAKEFILES MAKEFLAGS GNUMAKEFLAGS MFLAGS".split()
)
HIJACKING_PREFIXES = (
    *(b"LD_", b"DYLD_", b"GIT_CONFIG", b"BASH_FUNC_", b"npm_config_", b"NPM_CONFIG_", b"CARGO_"),
    *(b"LUA_INIT", b"LUA_PATH", b"LUA_CPATH", b"COR_PROFILER", b"CORECLR_PROFILER"),  # a version or a place may follow
)


def hijacks(name: bytes) -> bool:
    """Whether a variable of this name can make a program run something else."""
    return name in HIJACKING or name.startswith(HIJACKING_PREFIXES)


def merged(
    caller: "Mapping[bytes, bytes]",
    variables: "Mapping[bytes, bytes]",
    defaults: "Mapping[bytes, bytes]",
    allowed: "Collection[bytes]",
    override: bool,
) -> dict[bytes, bytes]:
    """The program's environment: the caller's wins over the vault's (not with `override`); defaults fill what is empty.

    ClientError INVALID_ARGUMENT for variables that hijack programs and are not in `allowed`.
    """
    refused = sorted(name for name in (*variables, *defaults) if hijacks(name) and name not in allowed)
    if refused:
        from keybaton_client.problem import ClientError

        names = ", ".join(name.decode() for name in refused)
        options = " ".join(f"--allow {name.decode()}" for name in refused)
        raise ClientError(
            "INVALID_ARGUMENT",
            f"The environment sets what can make programs run other code: {names}.",
            f"If that is meant: `keybaton run {options} -- …`.",
        )
    environment = {**caller, **variables} if override else {**variables, **caller}
    return {**environment, **{name: value for name, value in defaults.items() if not environment.get(name)}}


def become(command: "list[bytes]", environment: "Mapping[bytes, bytes]") -> "NoReturn":
    """Replaces this process by `command`, found on the caller's PATH. Exits with 127 or 126 as a shell does.

    ClientError TOO_LARGE when arguments and environment are more than the kernel takes.
    """
    # Python ignores these two, and what is ignored stays so in a new program.
    _signal.signal(_signal.SIGPIPE, _signal.SIG_DFL)
    _signal.signal(_signal.SIGXFSZ, _signal.SIG_DFL)
    name = command[0]
    folders = [b""] if b"/" in name else posix.environ.get(b"PATH", _DEFAULT_PATH).split(b":")
    problem = None
    for folder in folders:
        path = name if b"/" in name else (folder or b".") + b"/" + name
        try:
            posix.execve(path, command, environment)
        except (FileNotFoundError, NotADirectoryError):
            continue
        except OSError as error:
            if error.errno == 7:  # E2BIG
                from keybaton_client.problem import ClientError

                raise ClientError(
                    "TOO_LARGE", "Arguments and environment together are more than the system takes.", "See ARG_MAX."
                ) from None
            problem = error.strerror
        except ValueError:
            from keybaton_client.problem import ClientError

            raise ClientError("USAGE", "The command or a variable holds a NUL byte.") from None
    shown = name.decode(errors="replace")
    said = f"{shown} cannot be run: {problem}." if problem else f"There is no program {shown}."
    posix.write(2, f"error: {said}\n".encode())
    posix._exit(NOT_EXECUTABLE_CODE if problem else NOT_FOUND_CODE)
