/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/*
 * Listen addresses: "127.0.0.1:7070", "[::1]:7070", "localhost:7070", or ":7070" for every address
 * of the host, IPv6 and IPv4. Names other than localhost are refused: what a name stands for can
 * change, and a server must know what it opens.
 */

#include <netinet/in.h>
#include <stdbool.h>
#include <sys/socket.h>

#include "base/err.h"
#include "base/str.h"

struct weir_address {
    union {
        struct sockaddr any;
        struct sockaddr_in v4;
        struct sockaddr_in6 v6;
    } sa;
    socklen_t size;
    bool is_wildcard; /* ":port": dual stack, or IPv4 only where the host has no IPv6 */
};

enum { WEIR_ADDRESS_TEXT_SIZE = 64 };

/* Errors: -WEIR_EINVAL. */
int weir_address_parse(struct weir_sv text, struct weir_address *ret, struct weir_err *err);
/* 127.0.0.0/8, ::1, and the former mapped into IPv6. */
bool weir_address_is_loopback(const struct sockaddr *sa);
/* Writes "127.0.0.1:50123" or "[::1]:50123"; an IPv4 address mapped into IPv6 is written as IPv4.
 */
const char *weir_address_format(const struct sockaddr *sa, char buf[static WEIR_ADDRESS_TEXT_SIZE]);
/* "localhost:7070", "[::1]", "127.0.0.1:80": a Host header's value that names this machine. */
bool weir_host_is_loopback(struct weir_sv host);
/* True for a URL's host that is this machine by name or number. */
bool weir_url_is_loopback(const char *url);
/* True where no proxy can reach the URL's host for us: this machine, or an address of the link (169.254.0.0/16, fe80::/10) or of a cloud's
 * metadata service, which tells each machine of itself alone. */
bool weir_url_is_direct(const char *url);
