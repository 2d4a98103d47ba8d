#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""Checks what the compiler does not: style, and who includes whom (docs/architecture.md).

    tools, bench, tests ──► analyzers ──► engine/include
    tools ──► engine ──► bpf/tl_abi.h

One line a fault, `path:line: what`; exit 1 when there is any.
"""
import os
import re
import shutil
import subprocess
import sys

ROOT = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
FILE_LINES, FUNCTION_LINES, PARAMETERS, COLUMNS = 700, 80, 4, 100
# Contracts with a fifth parameter, for a reason.
MORE_PARAMETERS = {
    "tl_filter__compile": "what is compiled, for which packets, and the words of an error",
    "tl_link_guard__create": "tells words of an error and of a success apart",
    "tl_recorder__create": "interfaces of a file become known after its options",
    "tl_findings__begin": "a key is an address and a length, in every analyzer",
}
FAULTS = []

# An analyzer sees packets and memory: nothing that opens, listens or runs beside it.
ANALYZERS_WITHOUT = re.compile(
    r"^(sys/(socket|un|ioctl|mman)|net/|netinet/tcp|pthread|threads|bpf/|xdp/|linux/if_|liburing"
    r"|pcap|poll|sys/epoll)")
INCLUDE = re.compile(r'^\s*#\s*include\s+(["<])([^">]+)[">]')


def fault(path, line, what):
    FAULTS.append(f"{path}:{line}: {what}")


def sources():
    names = subprocess.run(["git", "ls-files", "-co", "--exclude-standard", "*.c", "*.h"], cwd=ROOT,
                           capture_output=True, text=True, check=True).stdout.split()
    return sorted(name for name in names if os.path.exists(os.path.join(ROOT, name)))


def own_folders(path):
    """Folders whose files a source may name in quotes, and whether <tapline/…> is its world."""
    folder = os.path.dirname(path)
    top = path.split("/")[0]
    if path.startswith("engine/include/"):
        return ["engine/include", folder]
    if top == "bpf":
        return ["bpf"]
    if top == "analyzers":
        return [folder, "analyzers", "analyzers/core", "engine/include"]
    if top == "engine":
        return [folder, "engine/include"]
    return None  # tools, tests, bench: all of it


def check_include(path, number, name, quoted):
    folders = own_folders(path)
    if "../" in name:
        fault(path, number, f'"{name}": no ../ includes')
        return
    if path.startswith("analyzers/") and ANALYZERS_WITHOUT.match(name):
        fault(path, number, f"<{name}>: an analyzer has no sockets, threads or BPF")
    if folders is None:
        return
    if name == "tl_abi.h" or name.endswith(".skel.h"):
        if not path.startswith(("engine/", "bpf/")) or path.startswith("engine/include/"):
            fault(path, number, f'"{name}": only the engine speaks to the kernel programs')
        return
    if name.startswith("tapline/"):
        if path.startswith("bpf/"):
            fault(path, number, f'"{name}": bpf/ includes nothing of the project')
        return
    if quoted and not any(os.path.exists(os.path.join(ROOT, f, name)) for f in folders):
        fault(path, number, f'"{name}": not in {", ".join(dict.fromkeys(folders))}')


def count_parameters(signature):
    inner = signature[signature.find("(") + 1:signature.rfind(")")]
    inner = re.sub(r",\s*\.\.\.$", "", inner)  # what a format takes is no parameter of its own
    depth, count = 0, 1
    for char in inner:
        depth += (char == "(") - (char == ")")
        count += char == "," and depth == 0
    return count


def check_functions(path, lines):
    start = None
    for number, line in enumerate(lines, 1):
        if line == "{":
            first = number - 1
            while first > 1 and lines[first - 2][:1] == "\t":
                first -= 1
            if lines[first - 1][:1] == "\t" and first > 1:
                first -= 1
            signature = " ".join(lines[first - 1:number - 1])
            start = (number, signature) if "(" in signature else None
        elif line == "}" and start:
            length = number - start[0] + 1
            name = re.search(r"(\w+)\(", start[1])
            name = name.group(1) if name else "?"
            if length > FUNCTION_LINES:
                fault(path, start[0], f"{name} has {length} lines, {FUNCTION_LINES} at most")
            if count_parameters(start[1]) > PARAMETERS + (name in MORE_PARAMETERS):
                fault(path, start[0], f"{name} has {count_parameters(start[1])} parameters, "
                      f"{PARAMETERS} at most: an options struct")
            start = None


def check_file(path):
    with open(os.path.join(ROOT, path), encoding="utf-8") as file:
        lines = file.read().split("\n")
    if "SPDX-License-Identifier: GPL-2.0-or-later" not in lines[0]:
        fault(path, 1, "no SPDX line")
    if path.endswith(".c") and len(lines) - 1 > FILE_LINES:
        fault(path, len(lines), f"{len(lines) - 1} lines, {FILE_LINES} at most: split by noun")
    for number, line in enumerate(lines, 1):
        match = INCLUDE.match(line)
        if match:
            check_include(path, number, match.group(2), match.group(1) == '"')
        if len(line.expandtabs(8)) > COLUMNS:
            fault(path, number, f"{len(line.expandtabs(8))} columns, {COLUMNS} at most")
    check_functions(path, lines)


def check_format(paths):
    program = shutil.which("clang-format-14") or shutil.which("clang-format")
    if not program:
        sys.exit("lint: clang-format is not installed")
    for path in paths:
        done = subprocess.run([program, "--dry-run", "-Werror", path], cwd=ROOT,
                              capture_output=True, text=True, check=False)
        if done.returncode:
            where = re.search(r":(\d+):", done.stderr)
            fault(path, where.group(1) if where else 1, "not as clang-format writes it")


def check_shell():
    program = shutil.which("shellcheck")
    if not program:
        print("shellcheck is not installed: shell scripts are not checked")
        return
    names = subprocess.run(["git", "ls-files", "-co", "--exclude-standard", "*.sh", "tools/dev",
                            ".ci/run"], cwd=ROOT, capture_output=True, text=True,
                           check=True).stdout.split()
    # SC1091: sourced by a computed path; SC2034: a library's variables; SC2119, SC2317: functions
    # with optional arguments, functions called by name; SC2016: $ meant for another shell
    done = subprocess.run([program, "-f", "gcc", "-e", "SC1091,SC2034,SC2119,SC2120,SC2317,SC2016",
                           *names], cwd=ROOT, capture_output=True, text=True, check=False)
    FAULTS.extend(done.stdout.splitlines())


def main():
    paths = sources()
    for path in paths:
        check_file(path)
    check_format(paths)
    check_shell()
    print("\n".join(FAULTS))
    print(f"{len(paths)} files, {len(FAULTS)} faults")
    return 1 if FAULTS else 0


if __name__ == "__main__":
    sys.exit(main())
