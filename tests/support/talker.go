// SPDX-License-Identifier: MIT
// A client and a server of TLS, of Go's own crypto/tls.
// usage: talker client HOST:PORT MAX_VERSION | talker server HOST:PORT CERTIFICATE KEY
package main

import (
	"crypto/tls"
	"encoding/json"
	"log"
	"net/http"
	"os"
	"strconv"
)

func main() {
	if os.Args[1] == "server" {
		handler := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {})
		log.Fatal(http.ListenAndServeTLS(os.Args[2], os.Args[3], os.Args[4], handler))
	}
	newest, _ := strconv.Atoi(os.Args[3])
	conn, err := tls.Dial("tcp", os.Args[2], &tls.Config{
		InsecureSkipVerify: true, ServerName: "go.example", NextProtos: []string{"http/1.1"}, MaxVersion: uint16(newest)})
	if err != nil {
		log.Fatal(err)
	}
	state := conn.ConnectionState()
	json.NewEncoder(os.Stdout).Encode([]any{state.Version, tls.CipherSuiteName(state.CipherSuite), state.NegotiatedProtocol})
	conn.Close()
}
