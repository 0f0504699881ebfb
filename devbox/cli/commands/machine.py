"""machine up, halt, suspend, resume, restart, destroy, status, list, ssh, ssh-config, snapshot and logs."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from typing import NoReturn

from devbox.cli.context import Context
from devbox.cli.output import as_json
from devbox.cli.parse import did_you_mean
from devbox.cli.phases import Phases
from devbox.errors import NotFoundError, UsageError
from devbox.machine import broker_link, openssh, places, registry, settings
from devbox.machine.drivers.driver import Driver, Endpoint, Report, Status
from devbox.model.invocation import Invocation

_COLUMNS = (("Name", "NAME"), ("State", "STATE"), ("Provider", "PROVIDER"), ("Address", "ADDRESS"))


def up(context: Context, invocation: Invocation) -> int:
    """Make and start a machine."""
    return _change(context, invocation, "up", lambda driver, report: _joined(context, driver, driver.up(report)))


def halt(context: Context, invocation: Invocation) -> int:
    """Shut it down."""
    return _change(context, invocation, "halted", lambda driver, report: _left(driver).halt(report))


def suspend(context: Context, invocation: Invocation) -> int:
    """Put it to sleep."""
    return _change(context, invocation, "suspended", lambda driver, report: _left(driver).suspend(report))


def resume(context: Context, invocation: Invocation) -> int:
    """Wake it up."""

    def action(driver: Driver, report: Report) -> None:
        driver.resume(report)
        _joined(context, driver, None)

    return _change(context, invocation, "resumed", action)


def restart(context: Context, invocation: Invocation) -> int:
    """Shut it down and start it."""

    def action(driver: Driver, report: Report) -> Endpoint | None:
        _left(driver).halt(report)
        return _joined(context, driver, driver.up(report))

    return _change(context, invocation, "up", action)


def destroy(context: Context, invocation: Invocation) -> int:
    """Delete it, after asking."""
    name = _name(context, invocation.text("name"))
    warning = f"WARNING! This will delete the machine {name} and everything in it."
    if not invocation.flag("force") and not context.confirm(warning):
        return 0
    return _change(context, invocation, "destroyed", lambda driver, report: _left(driver).destroy(report))


def resize(context: Context, invocation: Invocation) -> int:
    """Write another size to the settings, and start a machine that runs anew with it."""
    from devbox.machine import settings_parse, settings_write
    from devbox.machine.drivers.driver import State

    name = _name(context, invocation.text("name"))
    wishes: dict[str, settings_write.Value] = {}
    if (cpus := invocation.number("cpus")) is not None:
        wishes["cpus"] = cpus
    wishes |= {key: value for key in ("memory", "disk") if (value := invocation.text(key))}
    if not wishes:
        raise UsageError("resize needs --cpus, --memory or --disk")
    checked = settings_parse.check(wishes)
    has = settings.machine(name, context.cwd).disk
    if checked.get("disk", has) < has:
        raise UsageError(f"the disk of machine {name!r} has {has} GiB and cannot be made smaller")
    driver = _driver(context, name)
    if not driver.capabilities.power:
        raise UsageError(f"machine {name!r} is a host that devbox did not make, so it has the size that it has")
    running = driver.status().state not in (State.ABSENT, State.STOPPED)
    warning = f"WARNING! This will restart the machine {name}: its containers are stopped."
    if running and not invocation.flag("force") and not context.confirm(warning):
        return 0
    settings_write.change(places.settings_file(), name, wishes)
    if not running:
        context.out(f"{name} will have its new size when it is started")
        return 0
    return restart(context, invocation)


def upgrade(context: Context, invocation: Invocation) -> int:
    """Bring the packages of a machine up to date."""
    from devbox.machine import upgrade as upgrading

    name = _name(context, invocation.text("name"))
    endpoint = registry.endpoint(name)
    context.err(f"bringing the packages of machine {name} up to date")
    number = upgrading.upgrade(places.machine(name), endpoint)
    context.out(f"{number} package{'s' * (number != 1)} of {name} upgraded")
    return 0


def status(context: Context, invocation: Invocation) -> int:
    """Print one machine's state."""
    found = _driver(context, invocation.text("name")).status()
    if invocation.flag("json"):
        as_json(context, _document(found))
    else:
        detail = f" ({found.detail})" if found.detail != found.state.value else ""
        context.out(f"{found.name}: {found.state.value}{detail}")
    return 0


def ls(context: Context, invocation: Invocation) -> int:
    """Print all machines that the settings name or that exist."""
    from devbox.cli.output import listing

    names = {*settings.load(context.cwd).machines, *places.existing()}
    if invocation.flag("quiet"):
        for name in sorted(names):
            context.out(name)
        return 0
    documents = [_document(_driver(context, name).status()) for name in sorted(names)]
    if invocation.flag("json"):
        as_json(context, documents)
    else:
        rows = [{key.capitalize(): value for key, value in document.items()} for document in documents]
        listing(context, invocation, rows, columns=_COLUMNS, id_key="Name")
    return 0


def ssh(context: Context, invocation: Invocation) -> int:
    """Become OpenSSH's client, logged in to the machine."""
    name = _name(context, invocation.text("machine"))
    line = openssh.argv(places.machine(name), registry.endpoint(name), invocation.many("command"))
    context.flush()
    return openssh.run(line)


def ssh_config(context: Context, invocation: Invocation) -> int:
    """Print the address for OpenSSH."""
    name = _name(context, invocation.text("name"))
    place, endpoint = places.machine(name), registry.endpoint(name)
    if invocation.flag("json"):
        as_json(context, openssh.options(place, endpoint))
    else:
        context.out(openssh.config(place, endpoint))
    return 0


def snapshot(context: Context, invocation: Invocation) -> int:
    """Keep, list, restore and delete states."""
    action, name = invocation.text("action"), invocation.text("snapshot")
    driver = _driver(context, invocation.text("machine"))
    actions = {"save": driver.snapshot_save, "restore": driver.snapshot_restore, "delete": driver.snapshot_delete}
    if action == "list":
        found = driver.snapshot_list()
        if invocation.flag("json"):
            as_json(context, list(found))
        else:
            for each in found:
                context.out(each)
        return 0
    if action not in actions:
        _no_action(action, (*actions, "list"))
    if not places.NAME.fullmatch(name):
        raise UsageError(f"{name!r} cannot be a snapshot's name", hint="use up to 31 of a-z, 0-9 and -")
    actions[action](name)
    context.out(name)
    return 0


def logs(context: Context, invocation: Invocation) -> int:
    """Print Vagrant's output of all commands so far."""
    name, tail = _name(context, invocation.text("name")), invocation.text("tail")
    if tail != "all" and not tail.isdecimal():
        raise UsageError(f"--tail wants a whole number or all, not {tail!r}")
    try:
        with open(places.machine(name).log, encoding="utf-8", errors="backslashreplace") as file:
            for line in deque(file, None if tail == "all" else int(tail)):
                context.out(line.rstrip("\n"))
    except FileNotFoundError:
        raise NotFoundError(f"machine {name!r} has no log yet", hint=f"devbox machine up {name}") from None
    return 0


def _change(
    context: Context, invocation: Invocation, done: str, action: Callable[[Driver, Report], Endpoint | None]
) -> int:
    driver = _driver(context, invocation.text("name"))
    phases = Phases(context, verbose=invocation.flag("verbose"), quiet=invocation.flag("json"))
    endpoint = action(driver, phases)
    seconds = phases.end()
    if invocation.flag("json"):
        address = endpoint._asdict() if endpoint else None
        as_json(
            context,
            {"name": driver.name, "result": done, "seconds": seconds, "phases": phases.times, "endpoint": address},
        )
    else:
        where = f" at {endpoint.host}:{endpoint.port}" if endpoint else ""
        context.out(f"{driver.name} is {done}{where} ({seconds} s)")
    return 0


def _joined(context: Context, driver: Driver, endpoint: Endpoint | None) -> Endpoint | None:
    """Have a broker connect meanwhile: it brings devbox up to date there, and published ports come back."""
    if not context.environ.get(broker_link.NEVER):
        broker_link.begin(driver.name)
    return endpoint


def _left(driver: Driver) -> Driver:
    """End the broker, and with it the ports that lead there and what runs there for us."""
    broker_link.dismiss(driver.name)
    return driver


def _name(context: Context, given: str) -> str:
    return settings.machine(given, context.cwd).name


def _driver(context: Context, given: str) -> Driver:
    return registry.driver(given, context.cwd)


def _document(found: Status) -> dict[str, str]:
    try:
        endpoint = registry.endpoint(found.name)
        address = f"{endpoint.host}:{endpoint.port}"
    except NotFoundError:
        address = ""
    return {
        "name": found.name,
        "state": found.state.value,
        "driver": found.driver,
        "provider": found.provider,
        "detail": found.detail,
        "address": address,
    }


def _no_action(action: str, known: tuple[str, ...]) -> NoReturn:
    hint = did_you_mean(action, known) or "it is one of " + ", ".join(known)
    raise UsageError(f"{action!r} is not an action of devbox machine snapshot", hint=hint)
