#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-or-later
# Cause 7, a crash: a database with open sessions is killed (kill -9), refuses while it is gone, and
# comes back; its clients try again and again.
. "$(dirname "$0")/lib_lab.sh"
lab_begin "cause 7: a service with open connections is killed and restarted"
need mariadbd mariadb
mariadb_up
query "select 1" >/dev/null || die "no query gets through"
lab_wants service.crash ".severity == \"error\" and .server.ip == \"$SERVER\" and
	.server.port == 3306 and .details.flows >= 5 and .details.downtime_ms >= 1500 and
	.details.downtime_ms <= 12000"
# refusals and queries without an answer are its consequence, and information
lab_watch
for ((i = 0; i < 6; i++)); do
	query "select sleep(60)" >/dev/null 2>&1 &
done
sleep 1.5
kill -KILL "$MARIADB"
wait "$MARIADB" 2>/dev/null
down=$SECONDS
for ((i = 0; i < 5; i++)); do
	sleep 0.4
	query "select 1" >/dev/null 2>&1 && break
done
is "tries while it is gone are refused" $i 5
lab_spawn mariadb server mariadbd --no-defaults --user=root --datadir="$WORK/mysql" \
	--socket="$WORK/mysql.sock" --pid-file="$WORK/mysql.pid" --bind-address=0.0.0.0 \
	--skip-name-resolve --innodb-buffer-pool-size=16M --innodb-log-file-size=8M \
	--performance-schema=OFF
fact "it is back" lab_until 12 query "select 1"
lab_judge
