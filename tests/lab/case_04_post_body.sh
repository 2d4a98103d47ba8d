#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-or-later
# Case 4, HTTP POST failures: a reverse proxy limits the request body (client_max_body_size), and
# an application declares more than it sends. GETs and small POSTs work.
. "$(dirname "$0")/lib_lab.sh"
lab_begin "case 4: POSTs whose body is not what Content-Length says"
need nginx curl
mkdir -p "$WORK/nginx.d"
cat >"$WORK/nginx.d/proxy.conf" <<CONF
server { listen 8080; client_max_body_size 64k; client_body_timeout 2s;
	location / { proxy_pass http://127.0.0.1:9001; } }
server { listen 127.0.0.1:9001; location / { return 200 "saved\n"; } }
CONF
nginx_up 80
head -c 3000000 /dev/zero | tr '\0' x >"$WORK/large"
head -c 300 "$WORK/large" >"$WORK/small"
lab_wants http.body_mismatch ".severity != \"info\" and .server.port == 8080 and
	.details.side == \"request\" and .details.method == \"POST\" and
	.details.declared == 3000000 and .details.observed < 3000000 and
	(.details.uri | endswith(\"/upload\"))"
lab_wants http.body_mismatch ".severity != \"info\" and .server.port == 8080 and
	.details.side == \"request\" and .details.declared == 512 and .details.observed == 37 and
	(.details.uri | endswith(\"/api/user\"))"
# it says why the first was cut
lab_also http.error ".details.status == 413 or .details.status == 408"
lab_watch
for ((i = 0; i < 7; i++)); do
	fetch "http://$SERVER:8080/upload" --data-binary "@$WORK/small" || break
done
is "small POSTs that succeed" $i 7
for ((i = 0; i < 3; i++)); do
	bed_exec client curl -s -m 5 -H Expect: -o /dev/null -w '%{http_code}\n' \
		--data-binary "@$WORK/large" "http://$SERVER:8080/upload"
done >"$WORK/codes"
is "large POSTs are refused" "$(sort "$WORK/codes" | uniq -c | tr -s ' ')" " 3 413"
fact "the application sends less than it declares" bed_exec client \
	python3 "$PROGRAMS/short_post.py" "$SERVER" 8080 /api/user 512
fact "GETs work" fetch "http://$SERVER:8080/"
lab_judge 3
