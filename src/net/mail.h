/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* Mail through a relay, by the asynchronous client of client.h. */

#include "net/client.h"

struct weir_mail {
    const char *url;      /* smtp://HOST:PORT or smtps://HOST:PORT */
    const char *user;     /* NULL: nobody logs in */
    const char *password; /* never logged */
    const char *from;     /* addresses without <> */
    const char *const *to;
    size_t n_to;
    struct weir_sv message; /* header and body; lines end in CRLF */
    bool allow_plain;       /* without TLS where the relay offers none; to this very host it is never asked for */
    const char *ca_pem;     /* trust exactly this authority; NULL: the system's */
    unsigned timeout_ms;    /* of it all */
};

/*
 * h is one of weir_http_new's. Everything is copied. done as in client.h: status is the relay's last answer (250: it has taken
 * the mail), or 0 with code and text. Errors: as of weir_http_ops.send.
 */
int weir_mail_send(struct weir_http *h, const struct weir_mail *m, weir_http_fn *done, void *ctx, uint64_t *ret_id);
