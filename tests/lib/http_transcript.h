/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/*
 * HTTP clients for tests, behind the same vtable as the real one, without any network.
 *
 * The transcript player has a script of the calls that are expected, in order, each with its canned
 * reply or fault. The responder asks a function of the test for each reply. Replies are delivered
 * by http_fake_pump, or by the loop where one is given: never from inside send, as with the real
 * client. Nothing here waits: a slow reply is one that stays away for a number of pumps.
 *
 *     static const struct http_step script[] = {
 *         {"POST", "https://ec2.eu-west-1.amazonaws.com/", .body_has = "RunInstances",
 *          .fault = HTTP_FAULT_TIMEOUT},
 *         {"POST", "https://ec2.*", .body_has = "DescribeInstances", 200, "<Describe.../>"},
 *     };
 *     struct weir_http *h = http_transcript_new(script, WEIR_ARRAY_LEN(script), NULL);
 *     ... driver sends ...
 *     while (http_fake_pump(h) > 0) {}
 *     assert_null(http_fake_problem(h));
 *     h->ops->free(h);
 */

#include "net/client.h"

enum http_fault {
    HTTP_FAULT_NONE,
    HTTP_FAULT_UNREACHABLE, /* -WEIR_EUNAVAIL: was not sent */
    HTTP_FAULT_TIMEOUT,     /* -WEIR_ETIMEOUT: may have been received */
    HTTP_FAULT_BROKEN,      /* -WEIR_EIO: may have been received */
    HTTP_FAULT_TOO_LARGE,   /* -WEIR_ELIMIT */
    HTTP_FAULT_UNTRUSTED,   /* -WEIR_EUNAUTH */
    HTTP_FAULT_SEND,        /* send itself fails with -WEIR_ENOMEM */
};

struct http_step {
    /* What is expected; NULL: anything. url is a glob pattern ('*', '?'). */
    const char *method;
    const char *url;
    const char *body_has;
    /* The reply. A body longer than the call's reply_bytes_max becomes -WEIR_ELIMIT. */
    int status;
    const char *reply;
    const char *content_type; /* NULL: application/json */
    long retry_after_s;       /* 0: absent */
    const char *date;         /* of the server, as in a Date header; NULL: absent */
    enum http_fault fault;
    unsigned slow;          /* pumps that the reply stays away */
    unsigned repeat;        /* serves so many calls more; UINT_MAX: all that follow, or none */
    const char *header_has; /* "Name: value" */
    const char *bearer;
};

/* script must last as long as the client. */
struct weir_http *
http_transcript_new(const struct http_step *script, size_t n, struct uv_loop_s *loop);

/* What a responder's function is given: a copy of the call. */
typedef void http_responder_fn(void *ctx, const struct weir_http_call *call, struct http_step *ret);
struct weir_http *http_responder_new(http_responder_fn *fn, void *ctx, struct uv_loop_s *loop);

/* Delivers the replies that are due (callbacks may send and cancel) and returns how many calls
 * are still waiting. */
size_t http_fake_pump(struct weir_http *h);
/* NULL where every expected call came and no other did; else what was wrong first. */
const char *http_fake_problem(const struct weir_http *h);
/* Calls that were sent up to now, and the n-th of them (from 0), as copied. */
size_t http_fake_n_calls(const struct weir_http *h);
const struct weir_http_call *http_fake_call(const struct weir_http *h, size_t n);
