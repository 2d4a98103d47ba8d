#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-or-later
# Case 2, slow MySQL queries: a client that stops reading a large result shuts its window, and the
# server has to wait. The real client is stopped in the middle of its result and goes on later.
. "$(dirname "$0")/lib_lab.sh"
lab_begin "case 2: a MySQL client stops reading its result"
need mariadbd mariadb
mariadb_up
lab_wants tcp.zero_window ".server.port == 3306 and .client.ip == \"$CLIENT\" and
	.severity != \"info\" and .details.sender == \"client\" and .details.stalled_ms >= 4000 and
	.details.probes >= 2"
fact "rows" query "create table row (t text) engine=aria; insert into row select repeat('x', 60000)
	from seq_1_to_800;" # a result that fits no receive buffer
lab_watch
fact "a small query" query "select 1"
lab_spawn reader client mariadb --no-defaults --skip-ssl --quick -h "$SERVER" -u lab -plab -N \
	-e "select t from row" shop
reader=$RET_PID
# in the middle of its result, however busy the machine is
lab_until 10 test -s "$WORK/reader.log"
kill -STOP "$reader"
sleep 7
kill -CONT "$reader"
wait "$reader"
is "the reader gets all of it in the end" "$?/$(stat -c %s "$WORK/reader.log")" 0/$((60001 * 800))
fact "a small query" query "select 1"
lab_judge
