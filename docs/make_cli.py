"""Write docs/cli.md from what the commands' --help is made of: `python docs/make_cli.py`.

With --check nothing is written, and the exit code is 1 when the page is not what the commands say now. Terminals
and versions of typer lay a help out in their own ways, so the page is laid out here.
"""

from __future__ import annotations

import inspect
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, get_args, get_type_hints

import typer
from typer.models import ArgumentInfo, OptionInfo

from radsnap.cli.app import app

PAGE = Path(__file__).parent / "cli.md"
HEAD = """\
# The command line

Every command with what its `--help` says. This page is made by `python docs/make_cli.py`; don't edit it by hand.

Exit codes: 0 done (a picture that is not an x-ray is a result), 1 some input failed, 2 wrong usage. An error is one
line on stderr: what was wrong, what was got, and what to do.
"""


def main() -> None:
    """Write the page, or check it."""
    text = page()
    if "--check" not in sys.argv[1:]:
        PAGE.write_text(text, encoding="utf-8")
    elif not PAGE.is_file() or PAGE.read_text(encoding="utf-8") != text:
        sys.exit(f"{PAGE.name} is stale; type: python docs/make_cli.py")


def page() -> str:
    """Render the page: a section a command, in the order of their names."""
    found = sorted(commands(app, "radsnap"), key=lambda command: command[0])
    return "\n".join([HEAD, *(_section(name, callback) for name, callback in found)])


def commands(of: typer.Typer, prefix: str) -> Iterator[tuple[str, Callable[..., Any]]]:
    """Give every command's full name and its function."""
    for command in of.registered_commands:
        assert command.callback is not None
        yield f"{prefix} {command.name or command.callback.__name__}", command.callback
    for group in of.registered_groups:
        assert group.typer_instance is not None
        yield from commands(group.typer_instance, f"{prefix} {group.typer_instance.info.name}")


def _section(name: str, callback: Callable[..., Any]) -> str:
    rows = [(*_names(parameter), parameter) for parameter in parameters(callback)]
    usage = " ".join(
        [name, *(names for names, info, _ in rows if isinstance(info, ArgumentInfo)), "[OPTIONS]"]
    )
    lines = [
        f"## {name}",
        "",
        "```text",
        usage,
        "```",
        "",
        _prose(callback),
        "",
        "| | default | |",
        "|---|---|---|",
    ]
    lines += [f"| `{names}` | {_default(p)} | {_cell(str(info.help))} |" for names, info, p in rows]
    return "\n".join(lines) + "\n" if rows else "\n".join(lines[:-3]) + "\n"


def parameters(callback: Callable[..., Any]) -> list[tuple[str, Any, Any]]:
    """Give a command's parameters in their order: name, default, and type with typer's description."""
    hints = get_type_hints(callback, include_extras=True)
    given = inspect.signature(callback).parameters.values()
    asked = [one for one in given if hints[one.name] is not typer.Context]
    return [(one.name, one.default, hints[one.name]) for one in asked]


def _names(parameter: tuple[str, Any, Any]) -> tuple[str, ArgumentInfo | OptionInfo]:
    name, _, hint = parameter
    kind, info = get_args(hint)[:2]
    if isinstance(info, ArgumentInfo):
        plain = str(info.metavar or name.upper())
        return (f"{plain}..." if "list" in str(kind) else plain), info
    assert isinstance(info, OptionInfo)
    plain = "--" + name.replace("_", "-")
    # inside Annotated, typer.Option's first argument is a name too, though it is called `default`
    declared = [str(one) for one in (info.default, *(info.param_decls or ())) if one is not ...]
    if not declared:
        declared = [f"{plain} / --no-{plain[2:]}"] if kind is bool else [plain]
    return ", ".join(sorted(declared, key=len)), info


def _default(parameter: tuple[str, Any, Any]) -> str:
    _, default, hint = parameter
    if default is inspect.Parameter.empty:
        return "required"
    if default is None or default is False:
        return ""
    return "on" if get_args(hint)[0] is bool else f"`{default}`"


def _prose(callback: Callable[..., Any]) -> str:
    """The command's help, its example as code."""
    paragraphs = inspect.cleandoc(str(callback.__doc__)).split("\n\n")
    made = []
    for paragraph in paragraphs:
        text = " ".join(paragraph.split())
        before, found, example = text.partition("Example: ")
        made += [before.strip()] * bool(before.strip())
        made += [f"```text\n{example}\n```"] * bool(found)
    return "\n\n".join(made)


def _cell(text: str) -> str:
    return text.replace("|", "\\|")


if __name__ == "__main__":
    main()
