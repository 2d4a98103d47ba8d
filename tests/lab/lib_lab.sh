# SPDX-License-Identifier: GPL-2.0-or-later
# shellcheck shell=bash
#
# What the lab's cases share. A case makes a real fault with real programs on the routed bed of
# bed.sh, and says what Tapline must find, and that it finds nothing else:
#
#   . "$(dirname "$0")/lib_lab.sh"
#   lab_begin "a firewall drops the SYNs"      the network is up after it
#   nginx_up 80 443                            services, before anything is watched
#   lab_wants connect.no_answer '.server.port == 443 and .details.syn_count >= 3'
#   lab_watch                                  tapline diagnose -i span0 --json -w
#   …the fault…
#   lab_judge                                  stops, reads the file, states the facts
#
# The facts of lab_judge, for each wanted finding: it was told live, and in time; it is in the file;
# and for all: live and file say the same, byte for byte, and of the capture too, and so do several
# readers of the file; nothing else is
# accused; every display filter selects the frames of its evidence in the file that tshark reads.
#
# TAPLINE_LAB_OUT is a folder that gets the capture and the findings of each case, TAPLINE_LAB_TABLE
# a file that gets a line for each (tools/dev lab prints it), TAPLINE_LAB_ARGS more options for the
# live run: "--workers 2 --backend afxdp".

# shellcheck source=../netns/lib_common.sh
. "$(dirname "${BASH_SOURCE[0]}")/../netns/lib_common.sh"
PATH="$PATH:/usr/sbin:/sbin"
LAB_CASE=$(basename "$0" .sh)
PROGRAMS="$TAPLINE_SOURCE/tests/lab/programs"
CLIENT=10.77.1.10
SERVER=10.77.2.10
SERVER6=fd77:2::10
LAB_WITHIN=10 # seconds from a finding's first packet until it is told live
LAB_KINDS=()
LAB_CONDITIONS=()
LAB_ALSO=()
LAB_STAMPER=
LAB_AFTER=: # more facts to state before the end
# a time that no one else's log has: findings are told in it
export TZ=UTC

lab_begin() { # TITLE
	test_begin "$1"
	routed_up
	mkdir "$WORK/www"
	chmod 755 "$WORK" # for servers that drop root
}

# A finding that must be told: its kind, and what jq must say of it.
lab_wants() { # KIND CONDITION
	LAB_KINDS+=("$1")
	LAB_CONDITIONS+=("$2")
}

# A finding that may be told as well, because it is true too; the case says why.
lab_also() { # KIND CONDITION
	LAB_ALSO+=("(.kind == \"$1\" and ($2))")
}

# Waits until the command succeeds: lab_until 5 curl …
lab_until() { # SECONDS COMMAND…
	local end=$((SECONDS + $1))
	shift
	until "$@" >/dev/null 2>&1; do
		[ $SECONDS -lt $end ] || return 1
		sleep 0.1
	done
}

# Starts a command in the background; its pid in RET_PID. Its words go to $WORK/NAME.log.
lab_spawn() { # NAME ROLE COMMAND…
	local name=$1
	shift
	bed_spawn "$@" >"$WORK/$name.log" 2>&1 &
	RET_PID=$!
}

# Every server of a case has to be there before the case means anything.
lab_ready() { # NAME COMMAND…
	local name=$1
	shift
	lab_until 20 "$@" || {
		tail -n 5 "$WORK/$name.log"
		die "$name did not come up"
	}
}

listens() { # ROLE PORT
	[ "$(ip netns exec "$(bed_ns "$1")" ss -Htln "sport = :$2")" ]
}

fetch() { # URL CURL_ARGS… : quiet, from the client
	local url=$1
	shift
	bed_exec client curl -sf -m 5 -o /dev/null "$@" "$url"
}

# nginx in the server's namespace; $WORK/nginx.d/*.conf may add servers before.
nginx_up() { # PORT…
	local port listen=""
	for port; do
		listen+="listen $port; listen [::]:$port; "
	done
	mkdir -p "$WORK/nginx.d"
	[ -e "$WORK/www/page" ] || seq 1 20000 >"$WORK/www/page"
	cat >"$WORK/nginx.conf" <<CONF
daemon off; user root; worker_processes 1; pid $WORK/nginx.pid; error_log $WORK/nginx.err;
events { worker_connections 256; }
http {
	access_log off;
	client_body_temp_path $WORK/nginx.body; proxy_temp_path $WORK/nginx.proxy;
	fastcgi_temp_path $WORK/nginx.fcgi; uwsgi_temp_path $WORK/nginx.uwsgi;
	scgi_temp_path $WORK/nginx.scgi;
	server { $listen root $WORK/www; }
	include $WORK/nginx.d/*.conf;
}
CONF
	lab_spawn nginx server nginx -c "$WORK/nginx.conf"
	NGINX=$RET_PID
	for port; do
		lab_ready nginx listens server "$port"
	done
}

# A root, an intermediate and a leaf for shop.example; chain.pem is leaf and intermediate.
make_certificates() {
	local d=$WORK/tls
	mkdir -p "$d"
	{
		openssl req -x509 -newkey rsa:2048 -nodes -days 30 -subj "/CN=Lab Root" \
			-addext keyUsage=keyCertSign -keyout "$d/root.key" -out "$d/root.pem"
		openssl req -newkey rsa:2048 -nodes -subj "/CN=Lab Intermediate" \
			-keyout "$d/mid.key" -out "$d/mid.csr"
		openssl x509 -req -in "$d/mid.csr" -CA "$d/root.pem" -CAkey "$d/root.key" \
			-CAcreateserial -days 30 -out "$d/mid.pem" \
			-extfile <(echo "basicConstraints=critical,CA:TRUE
keyUsage=keyCertSign")
		openssl req -newkey rsa:2048 -nodes -subj "/CN=shop.example" \
			-keyout "$d/leaf.key" -out "$d/leaf.csr"
		openssl x509 -req -in "$d/leaf.csr" -CA "$d/mid.pem" -CAkey "$d/mid.key" \
			-CAcreateserial -days 30 -out "$d/leaf.pem" \
			-extfile <(echo "subjectAltName=DNS:shop.example,IP:$SERVER")
		cat "$d/leaf.pem" "$d/mid.pem" >"$d/chain.pem"
	} >"$WORK/tls.log" 2>&1 || die "no certificates: $(tail -n 2 "$WORK/tls.log")"
}

dnsmasq_up() { # EXTRA_ARGS…
	lab_spawn dnsmasq server dnsmasq --keep-in-foreground --no-resolv --no-hosts \
		--conf-file=/dev/null --pid-file= --user=root --bind-interfaces \
		--listen-address="$SERVER" --listen-address="$SERVER6" \
		--address="/shop.example/$SERVER" --address="/shop.example/$SERVER6" --local=/shop.example/ --local=/test/ "$@"
	DNSMASQ=$RET_PID
	lab_ready dnsmasq ask A shop.example
}

# One DNS query from the client; fails without an answer.
ask() { # TYPE NAME [SERVER]
	bed_exec client dig +tries=1 +time=2 "@${3:-$SERVER}" "$1" "$2" >"$WORK/dig.log" 2>&1
}

mariadb_up() {
	{
		mkdir "$WORK/mysql"
		mariadb-install-db --no-defaults --user=root --datadir="$WORK/mysql" \
			--auth-root-authentication-method=normal --skip-test-db
	} >"$WORK/mysql-install.log" 2>&1 ||
		die "mariadb-install-db: $(tail -n 2 "$WORK/mysql-install.log")"
	lab_spawn mariadb server mariadbd --no-defaults --user=root --datadir="$WORK/mysql" \
		--socket="$WORK/mysql.sock" --pid-file="$WORK/mysql.pid" --bind-address=0.0.0.0 \
		--skip-name-resolve --innodb-buffer-pool-size=16M --innodb-log-file-size=8M \
		--performance-schema=OFF "$@"
	MARIADB=$RET_PID
	lab_ready mariadb listens server 3306
	lab_ready mariadb bed_exec server mariadb --no-defaults -S "$WORK/mysql.sock" -u root -e "
		create database if not exists shop;
		create user if not exists lab@'%' identified by 'lab';
		grant all on shop.* to lab@'%';"
}

# The real client, from the client's side of the mirror.
query() { # SQL ARGS…
	local sql=$1
	shift
	bed_exec client mariadb --no-defaults --skip-ssl -h "$SERVER" -u lab -plab "$@" -e "$sql" shop
}

# --- watching and judging ----------------------------------------------------------------------

lab_watch() { # TAPLINE_ARGS…
	local tries more
	read -ra more <<<"${TAPLINE_LAB_ARGS:-}"
	CAPTURE_LOG="$WORK/live.err"
	: >"$CAPTURE_LOG"
	mkfifo "$WORK/live.fifo"
	python3 "$PROGRAMS/stamp.py" <"$WORK/live.fifo" >"$WORK/live.stamped" &
	LAB_STAMPER=$!
	bed_spawn sensor "$TAPLINE" diagnose -i span0 --json -w "$WORK/f.pcapng" \
		"${more[@]}" "$@" \
		>"$WORK/live.fifo" 2>"$CAPTURE_LOG" &
	CAPTURE_PID=$!
	for ((tries = 0; tries < 400; tries++)); do
		kill -0 "$CAPTURE_PID" 2>/dev/null || break
		grep -q '^tapline: capturing on ' "$CAPTURE_LOG" && return 0
		sleep 0.05
	done
	die "tapline diagnose did not start: $(tail -n 2 "$CAPTURE_LOG")"
}

# Findings that accuse and are not wanted: one line each, with the frame to look at.
accused_else() { # FILE
	local i wanted="false"
	for i in "${!LAB_KINDS[@]}"; do
		wanted+=" or (.kind == \"${LAB_KINDS[i]}\" and (${LAB_CONDITIONS[i]}))"
	done
	for i in "${LAB_ALSO[@]}"; do
		wanted+=" or $i"
	done
	jq -rc "select(.type == \"finding\" and .severity != \"info\") | select(($wanted) | not) |
		[.severity, .kind, .summary, (.details | tojson)] | join(\" | \")" "$1"
}

# While it still grows a finding need not meet the whole condition yet: its kind counts.
opened_else() { # FILE
	local i kinds="" also
	for i in "${LAB_KINDS[@]}"; do
		kinds+="\"$i\","
	done
	for also in "${LAB_ALSO[@]}"; do
		also=${also#(.kind == \"}
		kinds+="\"${also%%\"*}\","
	done
	jq -rc "select(.type == \"finding_open\" and .severity != \"info\") |
		select(.kind as \$k | [${kinds%,}] | index(\$k) | not) |
		[.severity, .kind, .summary] | join(\" | \")" "$1" | sort -u
}

# The frames of $WORK/evidence that the filter does not select. What a filter says of a frame rests on
# that frame alone, as a rule: then a file of the evidence is enough. Where not, all is read.
filter_misses() { # FILTER
	local n frames
	n=$(wc -l <"$WORK/evidence")
	[ "$n" -gt 0 ] || return 0
	mapfile -t frames <"$WORK/evidence"
	editcap -r "$WORK/f.pcapng" "$WORK/evidence.pcapng" "${frames[@]}" 2>/dev/null
	[ "$(tshark -nr "$WORK/evidence.pcapng" -Y "$1" 2>/dev/null | wc -l)" = "$n" ] && return 0
	tshark -nr "$WORK/f.pcapng" -Y "$1" -T fields -e frame.number 2>/dev/null | sort |
		comm -13 - "$WORK/evidence"
}

# Findings whose filter leaves out frames of the evidence, all of them if tshark refuses it.
filters_fail() {
	local finding filter missed
	while read -r finding; do
		filter=$(jq -r .display_filter <<<"$finding")
		jq -r '(.evidence + .counter_evidence)[] | .frame // empty | select(. > 0)' \
			<<<"$finding" | sort -u >"$WORK/evidence"
		missed=$(filter_misses "$filter" | tr '\n' ' ')
		[ -z "$missed" ] ||
			echo "$(jq -r .kind <<<"$finding"): '$filter' leaves out frames $missed"
	done < <(jq -c 'select(.type == "finding")' "$WORK/file.json")
}

# Seconds from the finding's first packet until the first line that told it live; empty if never.
told_after() { # KIND CONDITION
	local first
	first=$(jq -rs "[.[] | select(.type == \"finding\" and .kind == \"$1\" and ($2))][0].first //
		empty" "$WORK/live.json")
	[ "$first" ] && python3 "$PROGRAMS/stamp.py" --told "$1" "$first" "$WORK/live.stamped"
}

table_line() { # KIND LIVE FILE SILENT SECONDS
	[ "${TAPLINE_LAB_TABLE:-}" ] || return 0
	printf '%s\t%s\t%s\t%s\t%s\t%s\n' "$LAB_CASE" "$@" >>"$TAPLINE_LAB_TABLE"
}

has() { # FILE KIND CONDITION
	jq -se "any(.[]; .type == \"finding\" and .kind == \"$2\" and ($3))" "$1" >/dev/null 2>&1
}

yes_no() {
	if "$@"; then echo yes; else echo NO; fi
}

# What was said instead, for the one who reads a failure.
said() { # FILE KIND
	jq -rc "select(.type == \"finding\") | select(.kind == \"$2\" or .severity != \"info\") |
		[.severity, .kind, .summary, (.details | tojson)] | join(\" | \")" "$1" | head -n 6
}

judge_wanted() { # INDEX SILENT
	local kind=${LAB_KINDS[$1]} condition=${LAB_CONDITIONS[$1]} seconds live file
	live=$(yes_no has "$WORK/live.json" "$kind" "$condition")
	file=$(yes_no has "$WORK/file.json" "$kind" "$condition")
	if [ "$live" = yes ]; then
		ok "live: $kind"
	else
		not_ok "live: $kind with $condition" "said: $(said "$WORK/live.json" "$kind")"
	fi
	if [ "$file" = yes ]; then
		ok "file: $kind"
	else
		not_ok "file: $kind with $condition" "said: $(said "$WORK/file.json" "$kind")"
	fi
	seconds=$(told_after "$kind" "$condition")
	if [ "$seconds" ]; then
		is "live: $kind is told within $LAB_WITHIN s (after $seconds s)" \
			"$(jq -n "$seconds <= $LAB_WITHIN")" true
	fi
	table_line "$kind" "$live" "$file" "$2" "${seconds:--}"
}

# Stops the live run, reads its file, and keeps both for who asks.
lab_collect() {
	sleep "${1:-1}"
	capture_stop
	is "live: exit code" "$CAPTURE_RC" 0
	wait "$LAB_STAMPER"
	cut -d ' ' -f 2- "$WORK/live.stamped" >"$WORK/live.json"
	"$TAPLINE" diagnose -r "$WORK/f.pcapng" --json >"$WORK/file.json" 2>"$WORK/file.err"
	is "file: exit code" $? 0
	[ "${TAPLINE_LAB_OUT:-}" ] || return 0
	mkdir -p "$TAPLINE_LAB_OUT/$LAB_CASE" &&
		cp "$WORK"/f.pcapng "$WORK"/*.json "$WORK"/*.err "$WORK"/live.stamped \
			"$TAPLINE_LAB_OUT/$LAB_CASE/"
	echo "capture and findings: $TAPLINE_LAB_OUT/$LAB_CASE"
}

# The closing record, without what only a live run can lose.
quality() { # FILE
	jq -c 'select(.type == "capture_quality") |
		del(.dropped, .observations_lost, .analysis_shed_packets)' "$1"
}

# A large file is read by several workers: what is said of it does not hang on how many.
readers_differ() {
	"$TAPLINE" diagnose -r "$WORK/f.pcapng" --workers 3 --json 2>&1 | grep '"type":"finding",' | sort |
		diff "$WORK/file.findings" - | cut -c 1-400 | head -n 4
}

lab_judge() { # [SECONDS to go on watching]
	local i silent else_live else_file
	lab_collect "${1:-1}"
	# live they come as they settle, of a file by rank
	grep '"type":"finding",' "$WORK/live.json" | sort >"$WORK/live.findings"
	grep '"type":"finding",' "$WORK/file.json" | sort >"$WORK/file.findings"
	is "live and file say the same" \
		"$(diff "$WORK/live.findings" "$WORK/file.findings" | cut -c 1-400 | head -n 4)" ""
	is "live and file say the same of the capture" "$(quality "$WORK/live.json")" \
		"$(quality "$WORK/file.json")"
	is "three readers of the file say the same as one" "$(readers_differ)" ""
	else_live=$(accused_else "$WORK/live.json" && opened_else "$WORK/live.json")
	else_file=$(accused_else "$WORK/file.json")
	is "live: nothing else is accused" "$else_live" ""
	is "file: nothing else is accused" "$else_file" ""
	silent=$(yes_no test -z "$else_live$else_file")
	for i in "${!LAB_KINDS[@]}"; do
		judge_wanted "$i" "$silent"
	done
	[ ${#LAB_KINDS[@]} -gt 0 ] || [ "$LAB_AFTER" != : ] || table_line - - - "$silent" -
	is "display filters select the evidence" "$(filters_fail)" ""
	is "a capture_quality record closes it" "$(tail -n 1 "$WORK/file.json" | jq -r .type)" \
		capture_quality
	$LAB_AFTER
	test_end
}
