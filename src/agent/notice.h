/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/*
 * Asking a cloud's metadata service, every few seconds, whether this machine is about to be taken back: EC2's spot instance action
 * (metadata service version 2), Google's preemption flag, Azure's scheduled events. What cannot be reached is asked again.
 */

#include "base/clock.h"
#include "base/err.h"

struct uv_loop_s;
struct weir_http;
struct weir_notice;

/* Called once, from the loop. at: when the machine goes. */
typedef void weir_notice_fn(void *ctx, struct weir_wall at);

struct weir_notice_conf {
    const char *kind;     /* "ec2", "gce", "azure" */
    const char *base_url; /* of the service; NULL: the kind's own */
    struct uv_loop_s *loop;
    struct weir_http *http; /* borrowed */
    const struct weir_clock *clock;
    unsigned every_ms; /* 0: 5 s */
    weir_notice_fn *fn;
    void *ctx;
};

/* The kinds that are known; ends with NULL. */
extern const char *const weir_notice_kinds[];
/* The variable of the environment that moves the kind's service elsewhere, as its cloud's own programs have it; NULL for an unknown kind. */
const char *weir_notice_env(const char *kind);
/* Begins to ask. Errors: -WEIR_EINVAL (no such kind). */
int weir_notice_start(struct weir_notice **ret, const struct weir_notice_conf *conf, struct weir_err *err);
/* The loop must run once more afterwards. NULL is a no-op. */
void weir_notice_stop(struct weir_notice *n);
