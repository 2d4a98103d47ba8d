#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-or-later
# A minute of normal load on the lab's servers: no warning and no error, live and from the file.
# Normal is more than bare success: keep-alive and pipelining, HEAD, 304, ranges, chunked bodies, a
# missing page, a download that the user cancels, idle connections that the server closes, resumed
# TLS sessions, names that do not exist, slow but busy queries, long polls, sessions that stay, HTTP/2,
# event streams and WebSockets, health checks of every kind, a server that reloads.
. "$(dirname "$0")/lib_lab.sh"
lab_begin "normal load on healthy servers accuses nobody"
need nginx curl openssl dnsmasq dig mariadbd mariadb sshd ssh ssh-keygen python3 haproxy
LOAD_S="${TAPLINE_LAB_SECONDS:-60}"
make_certificates
mkdir -p "$WORK/nginx.d"
cat >"$WORK/nginx.d/more.conf" <<CONF
server { listen 443 ssl http2; listen [::]:443 ssl http2; root $WORK/www; ssl_session_cache shared:s:1m;
	ssl_certificate $WORK/tls/chain.pem; ssl_certificate_key $WORK/tls/leaf.key;
	ssl_protocols TLSv1.2 TLSv1.3; }
server { listen 8080; keepalive_timeout 3s; client_max_body_size 20m;
	gzip on; gzip_types *; gzip_min_length 1; root $WORK/www;
	location /post { proxy_pass http://127.0.0.1:9001; }
	location /poll { proxy_pass http://127.0.0.1:9002; } }
server { listen 127.0.0.1:9001; client_max_body_size 20m; location / { return 200 "saved\n"; } }
CONF
seq 1 300000 >"$WORK/www/big"
head -c 1000000 "$WORK/www/big" >"$WORK/body"
nginx_up 80
dnsmasq_up
mariadb_up --max-connect-errors=1000000 # checks that only connect count as errors there
bed_exec server mariadb --no-defaults -S "$WORK/mysql.sock" -u root -e "create user probe@'%'"
query "create table t (a int primary key auto_increment, b text)" || die "no table"
echo 2.5 >"$WORK/delay"
lab_spawn poll server python3 "$PROGRAMS/slow_http.py" 9002 "$WORK/delay"
lab_ready poll listens server 9002
lab_spawn push server python3 "$PROGRAMS/push_http.py" serve 8090
lab_ready push listens server 8090
# a load balancer beside the client, that asks again and again who is well
cat >"$WORK/haproxy.cfg" <<CONF
defaults
	timeout connect 2s
	timeout client 5s
	timeout server 5s
listen tcp
	mode tcp
	bind 127.0.0.1:7001
	server web $SERVER:80 check inter 1s
	server tls $SERVER:443 check inter 3s
	server sql $SERVER:3306 check inter 5s
listen http
	mode http
	bind 127.0.0.1:7002
	option httpchk GET /page
	server web $SERVER:80 check inter 2s
listen tls
	mode tcp
	bind 127.0.0.1:7003
	server tls $SERVER:443 check check-ssl verify none inter 2s
listen sql
	mode tcp
	bind 127.0.0.1:7004
	option mysql-check user probe
	server sql $SERVER:3306 check inter 3s
CONF

ssh-keygen -q -t ed25519 -N '' -f "$WORK/host_key" && ssh-keygen -q -t ed25519 -N '' -f "$WORK/key"
mkdir -p /run/sshd
cat >"$WORK/sshd_config" <<CONF
HostKey $WORK/host_key
AuthorizedKeysFile $WORK/key.pub
StrictModes no
UsePAM no
PermitRootLogin prohibit-password
PidFile none
CONF
lab_spawn sshd server "$(command -v sshd)" -D -e -f "$WORK/sshd_config" -o ListenAddress="$SERVER"
remote() { # COMMAND…
	bed_exec client ssh -q -i "$WORK/key" -o IdentitiesOnly=yes -o UserKnownHostsFile=/dev/null \
		-o StrictHostKeyChecking=no -F none root@"$SERVER" "$@" </dev/null
}
lab_ready sshd remote true

tls() { # PATH CURL_ARGS…
	local path=$1
	shift
	# a reload can meet a connection of HTTP/2 that has not asked yet: users try again
	fetch "https://shop.example/$path" --retry 2 --retry-all-errors --cacert "$WORK/tls/root.pem" \
		--resolve "shop.example:443:$SERVER" "$@"
}

FAILED_STEPS="$WORK/failed-steps"
step() { # COMMAND… : what does not succeed is no normal load
	"$@" || echo "$*" >>"$FAILED_STEPS"
}

web() {
	local base="http://$SERVER:8080"
	step bed_exec client curl -sf -m 9 -o /dev/null "$base/page" -o /dev/null "$base/page" \
		-o /dev/null "http://$SERVER/page" -o /dev/null "http://[$SERVER6]/page"
	step fetch "$base/page" --compressed
	step fetch "$base/page" -I
	step fetch "$base/page" -r 100-999
	step fetch "$base/page" -z "$(date -R)"
	step fetch "$base/post" -d small=1
	step fetch "$base/post" --data-binary "@$WORK/body"
	step fetch "$base/post" -T "$WORK/body" -H 'Transfer-Encoding: chunked'
	step fetch "http://$SERVER/big"
	step bed_exec client python3 "$PROGRAMS/pipeline.py" "$SERVER" 80 /page 20
	bed_exec client curl -s -o /dev/null "$base/favicon.ico"
	bed_exec client timeout 0.4 curl -s -o /dev/null --limit-rate 500k "http://$SERVER/big"
}

secure() {
	local i
	step tls page
	step tls page --http2
	step bed_exec client curl -sf --http2 -m 9 --retry 2 --retry-all-errors --cacert "$WORK/tls/root.pem" \
		--resolve "shop.example:443:$SERVER" -o /dev/null https://shop.example/page \
		-o /dev/null https://shop.example/big -o /dev/null https://shop.example/page
	step tls page --tls-max 1.2
	step tls big
	for i in -tls1_2 -tls1_3; do
		step bed_exec client sh -c "printf 'GET /page HTTP/1.0\r\n\r\n' | openssl s_client $i \
			-ign_eof -quiet -sess_out $WORK/session$i -connect $SERVER:443 \
			-servername shop.example -CAfile $WORK/tls/root.pem >/dev/null 2>&1"
		step bed_exec client sh -c "printf 'GET /page HTTP/1.0\r\n\r\n' | openssl s_client $i \
			-ign_eof -quiet -sess_in $WORK/session$i -connect $SERVER:443 \
			-servername shop.example -CAfile $WORK/tls/root.pem >/dev/null 2>&1"
	done
}

push() {
	step fetch "http://$SERVER:8090/events" -m 20 -N
	step bed_exec client python3 "$PROGRAMS/push_http.py" socket "$SERVER" 8090 4
}

reload() {
	kill -HUP "$NGINX"
}

names() {
	step ask A shop.example
	step ask AAAA shop.example
	step ask A www.shop.example "$SERVER6"
	step ask A shop.example "$SERVER"
	step ask TXT shop.example
	ask A typing-error.test
	step bed_exec client dig +tcp +tries=1 "@$SERVER" A shop.example >/dev/null
}

database() {
	# an hour of inserts would make the sums slow indeed
	[ $((RANDOM % 50)) -gt 0 ] || step query "truncate table t" >/dev/null
	step query "insert into t (b) select repeat('x', 1000) from seq_1_to_200" >/dev/null
	step query "select count(*), sum(length(b)) from t; select * from t limit 500" >/dev/null
	step query "select sleep(0.2)" >/dev/null
	query "select broken from t" >/dev/null 2>&1
}

shells() {
	step remote "seq 1 1000" >/dev/null
	step remote "cat >/dev/null" <"$WORK/www/page"
}

# The users come again and again, each kind on its own.
users() { # END COMMAND PAUSE
	while [ $SECONDS -lt "$1" ]; do
		"$2"
		sleep "$3"
	done
}

lab_watch
end=$((SECONDS + LOAD_S))
# a session that stays, with keystrokes; long polls that are answered after 2.5 s each
remote "for i in \$(seq $((LOAD_S / 2))); do echo \$i; sleep 2; done" >"$WORK/session.log" &
load=($!)
poll() { step fetch "http://$SERVER:8080/poll"; }
users "$end" poll 0.1 &
load+=($!)
users "$end" web 1 &
load+=($!)
users "$end" secure 1.5 &
load+=($!)
users "$end" names 0.7 &
load+=($!)
users "$end" database 1.2 &
load+=($!)
users "$end" shells 4 &
load+=($!)
users "$end" push 1 &
load+=($!)
users "$end" reload 17 &
load+=($!)
lab_spawn haproxy client haproxy -db -f "$WORK/haproxy.cfg"
step bed_exec client ping -qc $((LOAD_S / 2)) -i 1 "$SERVER" >/dev/null
wait "${load[@]}"
is "the load was served" "$(sort "$FAILED_STEPS" 2>/dev/null | uniq -c | head -n 5)" ""
lab_judge
