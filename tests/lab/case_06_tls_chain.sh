#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-or-later
# Case 6, TLS handshake failures: a server that serves its certificate without the intermediate.
# A client that does not know the intermediate rejects it; a server with the whole chain is fine.
. "$(dirname "$0")/lib_lab.sh"
lab_begin "case 6: an intermediate certificate is missing from the chain"
need nginx openssl curl
make_certificates
mkdir -p "$WORK/nginx.d"
echo "server { listen 443 ssl; root $WORK/www; ssl_protocols TLSv1.2 TLSv1.3;
	ssl_certificate $WORK/tls/chain.pem; ssl_certificate_key $WORK/tls/leaf.key; }" \
	>"$WORK/nginx.d/tls.conf"
nginx_up 80
lab_spawn s_server server openssl s_server -quiet -www -tls1_2 -accept 8443 \
	-cert "$WORK/tls/leaf.pem" -key "$WORK/tls/leaf.key"
lab_ready s_server listens server 8443
tls() { # PORT CURL_ARGS…
	local port=$1
	shift
	fetch "https://shop.example:$port/" --cacert "$WORK/tls/root.pem" \
		--connect-to "shop.example:$port:$SERVER:$port" "$@"
}
lab_wants tls.handshake_failed ".severity == \"error\" and .server.port == 8443 and
	.details.closed_by == \"client\" and .details.alert == \"unknown_ca\" and
	.details.sni == \"shop.example\" and (.details.version | test(\"1.2\"))"
lab_wants tls.incomplete_chain ".severity != \"info\" and .server.port == 8443 and
	(.details.subject | test(\"shop.example\")) and
	((.details.missing // .details.issuer) | test(\"Lab Intermediate\"))"
lab_watch
fetch "http://$SERVER/page"
tls 443 --tls-max 1.2
tls 443
for i in 1 2 3; do
	tls 8443
	is "curl rejects the server, $i" $? 60
	sleep 0.3
done
# who has the intermediate from elsewhere gets through: "some clients"
fact "s_client with the intermediate" bed_exec client openssl s_client -connect "$SERVER":8443 \
	-servername shop.example -CAfile "$WORK/tls/root.pem" -verify_return_error -brief \
	-partial_chain -verifyCAfile <(cat "$WORK/tls/mid.pem" "$WORK/tls/root.pem")
lab_judge
