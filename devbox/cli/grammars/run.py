"""Commands with the options of a container: run, create, exec, update."""

from __future__ import annotations

from devbox.cli.grammar import Argument, Command, flag, many, text

_LIMITS = (
    text("-m --memory", "BYTES", "Memory limit (512m, 1g)"),
    text("--memory-swap", "BYTES", "Memory plus swap; -1 for unlimited swap"),
    text("--memory-reservation", "BYTES", "Memory soft limit"),
    text("--cpus", "NUMBER", "Number of CPUs (0.5, 2)"),
    text("-c --cpu-shares", "INT", "CPU shares (relative weight)"),
    text("--cpu-period", "MICROSECONDS", "Period of --cpu-quota (100000)"),
    text("--cpu-quota", "MICROSECONDS", "Processor time in each period; --cpus is easier"),
    text("--cpuset-cpus", "LIST", "CPUs to run on (0-3, 0,1)"),
    text("--cpuset-mems", "LIST", "Memory nodes to use (0-3, 0,1)"),
    text("--pids-limit", "INT", "Limit of processes; -1 for unlimited"),
)
_OWN_LIMITS = (
    text("--oom-score-adj", "INT", "How soon its processes end when memory is short, -1000 to 1000"),
    *(
        many(f"--device-{flow}-{unit}", f"DEVICE:{metavar}", f"Limit of what is {done} a block device in a second")
        for flow, done in (("read", "read from"), ("write", "written to"))
        for unit, metavar in (("bps", "BYTES"), ("iops", "COUNT"))
    ),
)
_RESTART = text(
    "--restart",
    "POLICY",
    "no, on-failure[:N], always or unless-stopped",
    complete="no|on-failure|always|unless-stopped",
)
_PROCESS = (
    many("-e --env", "NAME[=VALUE]", "Set a variable; without a value, take it from here", kind="env"),
    many("--env-file", "FILE", "Read variables from a file", kind="env_files"),
    text("-u --user", "USER", "User: name or uid, with [:group or gid]"),
    text("-w --workdir", "DIR", "Working directory in the container"),
    flag("-i --interactive", "Keep stdin open"),
    flag("-t --tty", "Allocate a terminal"),
    text("--detach-keys", "KEYS", "Keys that detach from the terminal (ctrl-p,ctrl-q)"),
)
_IDENTITY = (
    text("--name", "NAME", "Name of the container"),
    text("-h --hostname", "NAME", "Host name in the container"),
    text("--domainname", "NAME", "NIS domain name"),
    many("-l --label", "KEY[=VALUE]", "Set a label"),
    many("--label-file", "FILE", "Read labels from a file", kind="paths"),
    many("--annotation", "KEY[=VALUE]", "Annotation for the runtime"),
    text("--cidfile", "FILE", "Write the container's id to a file", kind="result"),
)
_IMAGE = (
    text("--entrypoint", "COMMAND", "Replace the image's entry point"),
    text("--platform", "OS/ARCH", "Platform the image must have"),
    text("--pull", "WHEN", "always, missing or never", default="missing", complete="always|missing|never"),
    flag("-q --quiet", "Do not show the progress of a pull"),
    text("--runtime", "NAME", "OCI runtime: crun or runc", complete="crun|runc"),
)
_FILES = (
    many(
        "-v --volume",
        "SOURCE:TARGET[:OPTIONS]",
        "Bind mount a path or mount a volume",
        complete="volume",
        kind="mounts",
    ),
    many("--mount", "KEY=VALUE,...", "Mount: type=bind|volume|tmpfs,source=,target=,readonly", kind="mounts"),
    many("--tmpfs", "TARGET[:OPTIONS]", "Mount a tmpfs"),
    many("--volumes-from", "CONTAINER[:ro]", "Mount the volumes of another container", complete="container"),
    text("--shm-size", "BYTES", "Size of /dev/shm (64m)"),
    flag("--read-only", "Mount the root file system read-only"),
    flag("--share", "Let a machine see the directories of -v: it is restarted for one that is new"),
    many("--device", "DEVICE[:TARGET[:rwm]]", "Add a device of the host"),
    many("--device-cgroup-rule", "RULE", "Allow devices by number: 'c 42:* rmw'"),
    text("--volume-driver", "NAME", "Driver of volumes made for it: local", complete="local"),
)
_NETWORK = (
    many("-p --publish", "[[ADDRESS:]PORT:]PORT[/udp]", "Publish a port on the host"),
    flag("-P --publish-all", "Publish all exposed ports on free ports of the host"),
    many("--expose", "PORT", "Expose a port or a range of ports"),
    many("--link", "CONTAINER[:ALIAS]", "Link to another container", complete="container"),
    many("--network --net", "NETWORK", "Network to join: a name, none, host, container:NAME", complete="network"),
    many("--network-alias --net-alias", "NAME", "Further name on the network"),
    text("--ip", "ADDRESS", "IPv4 address on the network"),
    text("--mac-address", "MAC", "MAC address of the first interface"),
    many("--add-host", "NAME:ADDRESS", "Add a line to /etc/hosts; host-gateway for this host"),
    many("--dns", "ADDRESS", "Name server"),
    many("--dns-search", "DOMAIN", "Search domain"),
    many("--dns-option --dns-opt", "OPTION", "Option of the resolver"),
)
_CONFINEMENT = (
    many("--cap-add", "NAME", "Add a capability"),
    many("--cap-drop", "NAME", "Drop a capability"),
    many("--security-opt", "OPTION", "no-new-privileges, seccomp=FILE|unconfined, ...", kind="security"),
    flag("--privileged", "Give the container the host's powers"),
    many("--group-add", "GROUP", "Add a supplementary group"),
    many("--ulimit", "NAME=SOFT[:HARD]", "Set a resource limit"),
    many("--sysctl", "NAME=VALUE", "Set a namespaced kernel parameter"),
    text("--pid", "MODE", "PID namespace: host or container:NAME"),
    text("--ipc", "MODE", "IPC namespace: host, private, shareable or container:NAME"),
    text("--uts", "MODE", "UTS namespace: host or container:NAME"),
    text("--userns", "MODE", "User namespace: host", complete="host"),
    text("--cgroupns", "MODE", "Cgroup namespace: host or private", complete="host|private"),
)
_LIFE = (
    flag("--init", "Run an init that forwards signals and reaps processes"),
    flag("--rm", "Remove the container, and its anonymous volumes, when it ends"),
    _RESTART,
    text("--stop-signal", "SIGNAL", "Signal that stops the container"),
    text("--stop-timeout", "SECONDS", "Seconds to wait for it before it is killed"),
    text("--log-driver", "NAME", "json-file or none", complete="json-file|none"),
    many("--log-opt", "KEY=VALUE", "max-size, max-file"),
    text("--health-cmd", "COMMAND", "Command that checks the container's health"),
    text("--health-interval", "DURATION", "Time between checks (30s)"),
    text("--health-timeout", "DURATION", "Longest time a check may take (30s)"),
    text("--health-retries", "INT", "Failures in a row that make it unhealthy (3)"),
    text("--health-start-period", "DURATION", "Time to start before failures count (0s)"),
    text("--health-start-interval", "DURATION", "Time between checks in the start period (5s)"),
    flag("--no-healthcheck", "Ignore the image's health check"),
)
_CONTAINER = (
    *_IDENTITY,
    *_PROCESS,
    *_IMAGE,
    *_FILES,
    *_NETWORK,
    *_LIMITS,
    *_OWN_LIMITS,
    *_CONFINEMENT,
    *_LIFE,
    many("-a --attach", "STREAM", "Attach to stdin, stdout or stderr", complete="stdin|stdout|stderr"),
)
_SECTIONS = (
    ("Process", _PROCESS),
    ("Image", _IMAGE),
    ("Identity", _IDENTITY),
    ("Files", _FILES),
    ("Network", _NETWORK),
    ("Limits", (*_LIMITS, *_OWN_LIMITS)),
    ("Confinement", _CONFINEMENT),
    ("Life", _LIFE),
)
_IMAGE_AND_COMMAND = (
    Argument("image", complete="image"),
    Argument("command", "*", metavar="[COMMAND] [ARG...]"),
)
_CONTAINERS = (Argument("containers", "+", complete="container"),)

COMMANDS = (
    Command(
        ("container", "run"),
        "devbox.cli.commands.run:run",
        "Create and run a new container from an image",
        _IMAGE_AND_COMMAND,
        (
            flag("-d --detach", "Run in the background and print the container's id"),
            flag("--sig-proxy", "Pass signals on to the process", default=True),
            *_CONTAINER,
        ),
        aliases=(("run",),),
        moves=True,
        interspersed=False,
        sections=_SECTIONS,
    ),
    Command(
        ("container", "create"),
        "devbox.cli.commands.run:create",
        "Create a new container",
        _IMAGE_AND_COMMAND,
        _CONTAINER,
        aliases=(("create",),),
        interspersed=False,
        sections=_SECTIONS,
    ),
    Command(
        ("container", "exec"),
        "devbox.cli.commands.streams:execute",
        "Execute a command in a running container",
        (
            Argument("container", complete="running"),
            Argument("command", "+", metavar="COMMAND [ARG...]"),
        ),
        (
            flag("-d --detach", "Run in the background"),
            *_PROCESS,
            flag("--privileged", "Give the command the host's powers"),
        ),
        aliases=(("exec",),),
        moves=True,
        interspersed=False,
    ),
    Command(
        ("container", "update"),
        "devbox.cli.commands.life:update",
        "Change the limits or the restart policy of containers",
        _CONTAINERS,
        (*_LIMITS, _RESTART),
        aliases=(("update",),),
    ),
)
