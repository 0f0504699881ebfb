"""Commands of the noun container, without those in `run`."""

from __future__ import annotations

from devbox.cli.grammar import Argument, Command, flag, many, text
from devbox.cli.grammars.common import FILTER, FORCE, FORMAT, FORMAT_INSPECT, NO_TRUNC, PRUNE_FILTER

_LIFE = "devbox.cli.commands.life:"
_LISTING = "devbox.cli.commands.listing:"
_STREAMS = "devbox.cli.commands.streams:"
_FILES = "devbox.cli.commands.files:"
_LINKS = "devbox.cli.commands.links:"
_ONE = (Argument("container", complete="container"),)
_RUNNING_ONE = (Argument("container", complete="running"),)
_MANY = (Argument("containers", "+", complete="container"),)
_STOPPED, _RUNNING, _PAUSED, _GOING = (
    (Argument("containers", "+", complete=state),) for state in ("stopped", "running", "paused", "going")
)
_DETACH_KEYS = text("--detach-keys", "KEYS", "Keys that detach from the terminal (ctrl-p,ctrl-q)")
_SIGNAL = text("-s --signal", "SIGNAL", "Signal to send to the container")
_TIMEOUT = text("-t --timeout --time", "SECONDS", "Seconds to wait before killing the container")

COMMANDS = (
    Command(
        ("container", "ls"),
        _LISTING + "ps",
        "List containers",
        (),
        (
            flag("-a --all", "Show all containers, not only running ones"),
            FILTER,
            FORMAT,
            text("-n --last", "INT", "Show the last created containers, in whatever state"),
            flag("-l --latest", "Show the last created container, in whatever state"),
            NO_TRUNC,
            flag("-q --quiet", "Show ids only"),
            flag("-s --size", "Show sizes"),
        ),
        aliases=(("ps",), ("container", "list"), ("container", "ps")),
    ),
    Command(
        ("container", "start"),
        "devbox.cli.commands.run:start",
        "Start one or more stopped containers",
        _STOPPED,
        (
            flag("-a --attach", "Attach to the output and forward signals"),
            flag("-i --interactive", "Attach to stdin"),
            _DETACH_KEYS,
        ),
        aliases=(("start",),),
        moves=True,
    ),
    Command(
        ("container", "stop"),
        _LIFE + "stop",
        "Stop one or more running containers",
        _RUNNING,
        (_SIGNAL, _TIMEOUT),
        aliases=(("stop",),),
        frees=True,
    ),
    Command(
        ("container", "restart"),
        _LIFE + "restart",
        "Restart one or more containers",
        _MANY,
        (_SIGNAL, _TIMEOUT),
        aliases=(("restart",),),
        moves=True,
    ),
    Command(
        ("container", "kill"),
        _LIFE + "kill",
        "Kill one or more running containers",
        _RUNNING,
        (text("-s --signal", "SIGNAL", "Signal to send to the container", default="KILL"),),
        aliases=(("kill",),),
        frees=True,
    ),
    Command(
        ("container", "rm"),
        _LIFE + "rm",
        "Remove one or more containers",
        _MANY,
        (
            flag("-f --force", "Kill a running container first"),
            flag("-l --link", "Remove the link CONTAINER/ALIAS, not the container"),
            flag("-v --volumes", "Remove the container's anonymous volumes"),
        ),
        aliases=(("rm",), ("container", "remove")),
        frees=True,
    ),
    Command(
        ("container", "wait"),
        _LIFE + "wait",
        "Wait until containers stop, then print their exit codes",
        _RUNNING,
        aliases=(("wait",),),
    ),
    Command(
        ("container", "pause"),
        _LIFE + "pause",
        "Pause all processes of containers",
        _GOING,
        aliases=(("pause",),),
    ),
    Command(
        ("container", "unpause"),
        _LIFE + "unpause",
        "Let the processes of paused containers go on",
        _PAUSED,
        aliases=(("unpause",),),
    ),
    Command(
        ("container", "rename"),
        _LIFE + "rename",
        "Rename a container",
        (*_ONE, Argument("new_name")),
        aliases=(("rename",),),
    ),
    Command(
        ("container", "attach"),
        _STREAMS + "attach",
        "Attach to the streams of a running container",
        _RUNNING_ONE,
        (
            _DETACH_KEYS,
            flag("--no-stdin", "Do not attach stdin"),
            flag("--sig-proxy", "Pass signals on to the process", default=True),
        ),
        aliases=(("attach",),),
    ),
    Command(
        ("container", "logs"),
        _STREAMS + "logs",
        "Show the output of a container",
        _ONE,
        (
            flag("--details", "Show extra details"),
            flag("-f --follow", "Follow the output"),
            text("--since", "TIME", "Show from this time on (2013-01-02T13:23:37Z, 42m)"),
            text("--until", "TIME", "Show until this time"),
            text("-n --tail", "LINES", "Number of lines from the end", default="all"),
            flag("-t --timestamps", "Show time stamps"),
        ),
        aliases=(("logs",),),
    ),
    Command(
        ("container", "top"),
        _STREAMS + "top",
        "Show the processes of a container",
        (*_RUNNING_ONE, Argument("ps_options", "*", metavar="[PS OPTIONS]")),
        aliases=(("top",),),
        interspersed=False,
    ),
    Command(
        ("container", "stats"),
        "devbox.cli.commands.stats:stats",
        "Show the resource use of containers, live",
        (Argument("containers", "*", complete="running"),),
        (
            flag("-a --all", "Show all containers, not only running ones"),
            FORMAT,
            flag("--no-stream", "Show one measurement and end"),
            NO_TRUNC,
        ),
        aliases=(("stats",),),
    ),
    Command(
        ("container", "port"),
        _LISTING + "port",
        "List the published ports of a container",
        (*_RUNNING_ONE, Argument("private_port", "?", metavar="[PORT[/PROTOCOL]]")),
        aliases=(("port",),),
    ),
    Command(
        ("container", "inspect"),
        "devbox.cli.commands.inspecting:inspect",
        "Show everything about containers",
        _MANY,
        (FORMAT_INSPECT, flag("-s --size", "Show sizes")),
    ),
    Command(
        ("container", "cp"),
        _FILES + "cp",
        "Copy files between a container and the host",
        (
            Argument("source", complete="file", metavar="CONTAINER:PATH|PATH|-", kind="endpoint"),
            Argument("destination", complete="file", metavar="CONTAINER:PATH|PATH|-", kind="endpoint"),
        ),
        (
            flag("-a --archive", "Keep owner and group"),
            flag("-L --follow-link", "Follow a symbolic link in the source"),
            flag("-q --quiet", "Do not show progress"),
        ),
        aliases=(("cp",),),
    ),
    Command(
        ("container", "diff"),
        _FILES + "diff",
        "Show what changed in a container's file system",
        _ONE,
        aliases=(("diff",),),
    ),
    Command(
        ("container", "commit"),
        _FILES + "commit",
        "Make an image of a container's changes",
        (*_ONE, Argument("repository", "?", metavar="[REPOSITORY[:TAG]]", complete="image")),
        (
            text("-a --author", "TEXT", "Author"),
            many("-c --change", "INSTRUCTION", "Apply a Dockerfile instruction to the image"),
            text("-m --message", "TEXT", "Commit message"),
            flag("-p --pause", "Pause the container meanwhile", default=True),
        ),
        aliases=(("commit",),),
    ),
    Command(
        ("container", "export"),
        _FILES + "export",
        "Write a container's file system as a tar archive",
        _ONE,
        (text("-o --output", "FILE", "Write to a file, not to stdout", kind="stdout"),),
        aliases=(("export",),),
    ),
    Command(
        ("container", "prune"),
        "devbox.cli.commands.prune:containers",
        "Remove all stopped containers",
        (),
        (PRUNE_FILTER, FORCE),
        frees=True,
    ),
    Command(
        ("link",),
        _LINKS + "link",
        "Link a running container to another",
        (
            Argument("consumer", complete="container"),
            Argument("target", complete="running", metavar="TARGET[:ALIAS]"),
        ),
    ),
    Command(
        ("unlink",),
        _LINKS + "unlink",
        "Remove a link of a container",
        (Argument("consumer", complete="container"), Argument("alias")),
    ),
)
