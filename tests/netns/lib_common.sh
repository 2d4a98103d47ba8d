# SPDX-License-Identifier: GPL-2.0-or-later
# shellcheck shell=bash
#
# What the netns tests share; each sources it first. A test is a list of facts:
#
#   . "$(dirname "$0")/lib_common.sh"
#   test_begin "what it proves"
#   bed_link 1
#   capture_start -i span0 -w "$WORK/a.pcapng" --summary "$WORK/a.json"
#   generate 0 -n 1000 …
#   capture_stop
#   is "exit code" "$CAPTURE_RC" 0
#   test_end
#
# Exit 0: all facts hold; 1: one does not, or none was stated; 77: cannot be run here.
# TAPLINE_BUILD is the build directory with the program and the helpers.

set -u
TAPLINE_SOURCE="${TAPLINE_SOURCE:-$(cd "$(dirname "${BASH_SOURCE[0]}")/../.." && pwd)}"
TAPLINE_BUILD="${TAPLINE_BUILD:-$TAPLINE_SOURCE/build/release}"
TAPLINE="${TAPLINE:-$TAPLINE_BUILD/tapline}"
HELPERS="${TAPLINE_HELPERS:-$TAPLINE_BUILD/tests/helpers}"
RATE="${TAPLINE_TEST_RATE:-200000}"
FRAMES="${TAPLINE_TEST_FRAMES:-100000}" # the long form: 1000000
BACKENDS="${TAPLINE_TEST_BACKENDS:-afpacket afxdp}"
WORK=
FACTS=0
FAILED=0
CAPTURE_PID=
CAPTURE_RC=
CAPTURE_LOG=
CAPTURE_UNDER=() # a command to start the capture with
SENT=0

# shellcheck source=../lab/bed.sh
. "$TAPLINE_SOURCE/tests/lab/bed.sh"

skip() {
	echo "skipped: $*"
	exit 77
}

die() {
	echo "FAIL: $*"
	exit 1
}

need() { # TOOL…
	local tool
	for tool; do
		command -v "$tool" >/dev/null || skip "needs $tool (tools/dev installs it)"
	done
}

test_begin() { # TITLE
	echo "# $1"
	[ "$(id -u)" = 0 ] || skip "needs root"
	need ip tc ethtool tcpdump tshark capinfos jq python3 nft
	[ -x "$TAPLINE" ] || die "$TAPLINE is not built"
	[ -x "$HELPERS/helper_framegen" ] || die "the helpers are not built in $HELPERS"
	ip netns add "tl-$BED_ID-probe" 2>/dev/null || skip "no network namespaces here"
	ip netns delete "tl-$BED_ID-probe"
	WORK=$(mktemp -d "${TMPDIR:-/tmp}/tl-test.XXXXXX") || die "no temporary directory"
	TEST_CLEANUP=()
	trap test_cleanup EXIT
	trap 'exit 1' INT TERM HUP
}

# Commands for the end, last first; bed_down and the removal of $WORK come by themselves.
at_end() { # COMMAND
	TEST_CLEANUP+=("$1")
}

test_cleanup() {
	local i
	[ -n "$CAPTURE_PID" ] && kill -KILL "$CAPTURE_PID" 2>/dev/null
	bed_down
	for ((i = ${#TEST_CLEANUP[@]} - 1; i >= 0; i--)); do
		eval "${TEST_CLEANUP[i]}"
	done
	if [ "${TAPLINE_TEST_KEEP:-}" ]; then
		echo "kept: $WORK"
	elif [ -n "$WORK" ]; then
		rm -rf "$WORK"
	fi
}

# bed_up and bed_link set a trap of their own; a test's does more.
link_up() { # [N]
	bed_link "${1:-1}" || die "the link did not come up"
	trap test_cleanup EXIT
}

routed_up() {
	bed_up || die "the routed bed did not come up"
	trap test_cleanup EXIT
}

ok() { # WHAT
	FACTS=$((FACTS + 1))
	echo "ok    $1"
}

not_ok() { # WHAT [DETAIL]
	FACTS=$((FACTS + 1))
	FAILED=$((FAILED + 1))
	echo "FAIL  $1${2:+: $2}"
}

is() { # WHAT GOT WANTED
	if [ "$2" = "$3" ]; then
		ok "$1"
	else
		not_ok "$1" "got '$2', wanted '$3'"
	fi
}

fact() { # WHAT COMMAND…
	local what=$1 out
	shift
	if out=$("$@" 2>&1); then
		ok "$what"
	else
		not_ok "$what" "$(tail -n 3 <<<"$out")"
	fi
}

test_end() {
	[ "$FACTS" -gt 0 ] || die "no fact was stated"
	echo "# $((FACTS - FAILED)) of $FACTS facts hold"
	[ "$FAILED" = 0 ] || {
		[ -n "$CAPTURE_LOG" ] && sed 's/^/  stderr: /' "$CAPTURE_LOG" | tail -n 20
		exit 1
	}
	exit 0
}

# Starts `tapline capture ARGS…` in the sensor namespace and waits until it says that it sees
# packets: every worker's socket is open by then.
capture_start() { # ARGS…
	local tries
	CAPTURE_LOG="$WORK/capture.err"
	: >"$CAPTURE_LOG" # not the line of the capture before
	bed_spawn sensor "${CAPTURE_UNDER[@]}" "$TAPLINE" capture "$@" 2>>"$CAPTURE_LOG" &
	CAPTURE_PID=$!
	for ((tries = 0; tries < 200; tries++)); do
		kill -0 "$CAPTURE_PID" 2>/dev/null || break
		grep -q '^tapline: capturing on ' "$CAPTURE_LOG" && return 0
		sleep 0.05
	done
	sed 's/^/  stderr: /' "$CAPTURE_LOG"
	die "tapline capture $* did not start"
}

# Sets CAPTURE_RC; 124 when it did not end within 20 s.
capture_stop() { # [SIGNAL]
	sleep 0.3
	kill -"${1:-INT}" "$CAPTURE_PID" 2>/dev/null
	capture_wait
}

capture_wait() {
	local tries
	for ((tries = 0; tries < 400; tries++)); do
		kill -0 "$CAPTURE_PID" 2>/dev/null || break
		sleep 0.05
	done
	if kill -0 "$CAPTURE_PID" 2>/dev/null; then
		kill -KILL "$CAPTURE_PID"
		wait "$CAPTURE_PID" 2>/dev/null
		CAPTURE_RC=124
	else
		wait "$CAPTURE_PID"
		CAPTURE_RC=$?
	fi
	CAPTURE_PID=
}

# Sends numbered frames into genN; adds what went to SENT.
generate() { # N FRAMEGEN_ARGS…
	local n=$1 report sent
	shift
	report=$(bed_exec tap "$HELPERS/helper_framegen" -i "gen$n" "$@") || die "framegen: $report"
	sent=$(jq .sent <<<"$report")
	SENT=$((SENT + sent))
}

# The judge's verdict on the files, as a fact.
frames_exact() { # WHAT FRAMECHECK_ARGS…
	local what=$1 report
	shift
	if report=$("$HELPERS/helper_framecheck" "$@"); then
		ok "$what"
	else
		not_ok "$what" "$report"
	fi
}

summary() { # FILE JQ
	jq -r "$2" "$1" 2>&1
}

# The closing summary adds up, and to what was sent.
summary_closes() { # WHAT FILE SENT
	local received reached_sums captured_sums
	read -r received reached_sums captured_sums <<<"$(summary "$2" '.packets | [.received,
		(.received == .filtered + .sampled_out + .cut_off + .captured + .dropped.nic
			+ .dropped.ring_full + .dropped.fill_empty + .dropped.kernel),
		(.captured == .written + .dropped.writer)] | map(tostring) | join(" ")')"
	is "$1: received what was sent" "$received" "$3"
	is "$1: received = filtered + sampled_out + cut_off + captured + dropped before the writer" \
		"$reached_sums" true
	is "$1: captured = written + dropped by the writer" "$captured_sums" true
}

# tcpdump, tshark and capinfos read the file to its end without complaint. tshark copies it, for it
# is the file that is judged: taking apart every frame costs ten times as much.
opens() { # FILE
	local file=$1 name
	name=$(basename "$file")
	fact "tcpdump opens $name" tcpdump -nr "$file" -w /dev/null
	fact "tshark opens $name" tshark -nr "$file" -w /dev/null
	fact "capinfos opens $name" capinfos "$file"
}

# From here on captures, and what watches their files, run before all others: what is then late is
# late by tapline's doing, not by that of the host's other work.
captures_first() {
	chrt -f 1 true 2>/dev/null && CAPTURE_UNDER=(chrt -f 1)
}

# Sends COUNT single frames while a capture writes FILE; sets SLOWEST_MS and MEDIAN_MS, the times from
# the wire into the file less those in which the machine itself was late; 9999 when not all came.
quiet_link() { # FILE COUNT
	local number watcher
	"${CAPTURE_UNDER[@]}" python3 "$TAPLINE_SOURCE/tests/helpers/first_seen.py" \
		"$1" "$2" 60 >"$WORK/first_seen" &
	watcher=$!
	sleep 0.2
	for ((number = 0; number < $2; number++)); do
		generate 0 -n 1 --first "$number" -s 200
		sleep "0.1$((RANDOM % 10))" # at any moment of the writer's own rhythm
	done
	for ((number = 0; number < 200; number++)); do
		kill -0 "$watcher" 2>/dev/null || break
		sleep 0.05
	done
	kill "$watcher" 2>/dev/null
	wait "$watcher" 2>/dev/null
	"$HELPERS/helper_framedump" "$1" 2>/dev/null | cut -d' ' -f1 >"$WORK/stamped"
	read -r SLOWEST_MS MEDIAN_MS <<<"$(judge_quiet "$2" || echo 9999 9999)"
}

judge_quiet() { # COUNT -> slowest and median, ms
	python3 - "$WORK/stamped" "$WORK/first_seen" "$1" <<'PY'
import sys
stamped = [int(line) for line in open(sys.argv[1])]
words = [line.split() for line in open(sys.argv[2])]
seen = [int(w[1]) for w in words if w[0] == "seen"]
late = sorted((int(w[1]), int(w[2])) for w in words if w[0] == "late")


def excused(start, end):
    total, at = 0, start
    for since, until in late:
        since, until = max(since, at), min(until, end)
        if until > since:
            total, at = total + until - since, until
    return total


times = sorted((b - a - excused(a, b)) / 1e6 for a, b in zip(stamped, seen))
if len(times) != int(sys.argv[3]) or len(stamped) != len(seen):
    print(9999, 9999)
else:
    print(int(times[-1]), int(times[len(times) // 2]))
PY
}

# One line on stderr that says what is wrong, on what; and the exit code. What was captured before
# may be summed up below it, in lines of its own, when the caller says so: complains -s …
complains() { # [-s] WHAT WANTED_RC PATTERN COMMAND…
	local summed_up='' what wanted pattern rc lines
	[ "$1" = -s ] && shift && summed_up=1
	what=$1 wanted=$2 pattern=$3
	shift 3
	timeout 20 "$@" >"$WORK/complaint.out" 2>"$WORK/complaint.err"
	rc=$?
	lines=$(grep -vc '^$' "$WORK/complaint.err")
	[ -n "$summed_up" ] && lines=$(grep -c '^tapline: ' "$WORK/complaint.err")
	if [[ " $wanted " != *" $rc "* ]]; then
		not_ok "$what" "exit $rc, wanted $wanted: $(head -c 300 "$WORK/complaint.err")"
	elif [ "$lines" != 1 ] || ! grep -q '^tapline: ' "$WORK/complaint.err"; then
		not_ok "$what" "not one line 'tapline: …': $(head -c 300 "$WORK/complaint.err")"
	elif ! grep '^tapline: ' "$WORK/complaint.err" | grep -Eiqe "$pattern"; then
		not_ok "$what" "does not say /$pattern/: $(cat "$WORK/complaint.err")"
	else
		ok "$what"
	fi
}

offloads_of() { # ROLE IF -> its features and flags, for comparing
	ip netns exec "$(bed_ns "$1")" ethtool -k "$2"
	ip -n "$(bed_ns "$1")" -d -o link show "$2" | grep -o 'promiscuity [0-9]*\|<[A-Z,_]*>\|prog/xdp'
}
