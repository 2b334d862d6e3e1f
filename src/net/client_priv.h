/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* What the asynchronous and the blocking client share: how a call is set up and how its end is
 * classed. */

#include "net/address.h"
#include "net/client.h"
#include "net/curl_lib.h"

enum { CLIENT_AUTHORITIES_MAX = 16 };

/* Authorities as files that exist only in memory: this libcurl's GnuTLS back end reads them by
 * path alone. Kept for the client's life, because libcurl knows connections apart by the path. */
struct weir_authorities {
    struct {
        char *pem;
        int fd;
    } entry[CLIENT_AUTHORITIES_MAX];
    size_t n;
};

void weir_authorities_release(struct weir_authorities *a);

/* One call under way. */
struct weir_transfer {
    CURL *easy;
    struct curl_slist *header;
    struct weir_str body; /* the answer's, capped */
    struct weir_sv upload; /* mail: what is left of it */
    weir_http_sink_fn *sink;
    void *sink_ctx;
    bool has_headers; /* all of the answer's came */
    bool is_over;     /* the answer is larger than the cap */
    bool is_ended_by_sink;
    char error[CURL_ERROR_SIZE];
};

/* What both kinds of client refuse to send. Errors: -WEIR_EINVAL (time-out of 0, method, header). */
int weir_call_check(const struct weir_http_call *call, struct weir_err *err);
/*
 * Sets every option of t->easy, which is new or reset. What call points to may go after it,
 * but for the body, which must last as long as the transfer.
 * Errors: -WEIR_EINVAL (time-out of 0, method, header), -WEIR_ELIMIT (too many authorities),
 * -WEIR_EIO.
 */
int weir_transfer_setup(struct weir_transfer *t,
                        const struct weir_http_call *call,
                        struct weir_authorities *authorities,
                        struct weir_err *err);
/* ca_pem NULL: the system's authorities. Errors: -WEIR_ELIMIT, -WEIR_EIO. */
int weir_transfer_trust(CURL *easy, const char *ca_pem, struct weir_authorities *authorities, struct weir_err *err);
struct weir_mail;
/* As weir_transfer_setup; the message must last as long as the transfer. */
int weir_transfer_setup_mail(struct weir_transfer *t, const struct weir_mail *m, struct weir_authorities *authorities);
/* Fills reply from the finished transfer. reply->body borrows from t. */
void weir_transfer_finish(struct weir_transfer *t, CURLcode result, struct weir_http_reply *reply);
/* Frees headers and body, not the easy handle. */
void weir_transfer_release(struct weir_transfer *t);
