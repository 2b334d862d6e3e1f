/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* What the files of alerts share: alerts.c (the book in the store, commands), alerts_watch.c (what is the matter), alerts_send.c
 * (receivers), alerts_text.c (what they are sent). */

#include "alerts_book.h"
#include "broker_priv.h"
#include "net/client.h"

/* What a receiver was sent of an alert. */
struct alert_sent {
    uint64_t id;
    bool firing;
    struct weir_wall since;
};

struct receiver {
    struct broker *b;
    const struct weir_config_receiver *conf;
    bool busy;
    uint64_t due_ms;        /* look again then */
    uint32_t failures;      /* in a row */
    WEIR_VEC(struct alert_sent) under_way;
    uint64_t n_sent;        /* messages that arrived, since this start; and those that did not */
    uint64_t n_failed;
    char error[256];        /* of the last, where it failed */
    struct weir_wall at;    /* of the last try; 0: none */
    struct weir_command *test; /* waits for the answer to a test message */
};

struct alerts {
    struct weir_alert_book book;
    struct weir_http *http; /* made for the first message */
    struct receiver receiver[WEIR_CONFIG_RECEIVERS_MAX];
    size_t n_receivers;
    uint64_t watch_due_ms;
    uint64_t forget_due_ms;
    /* the walk over jobs that wait, a part at a time */
    struct weir_job_id wait_before; /* 0: the next one begins */
    uint64_t wait_round;
    struct weir_map waiting; /* project -> index in waits */
    WEIR_VEC(struct project_wait) waits;
};

struct project_wait {
    struct weir_project_id project;
    struct weir_job_id job; /* that has waited longest */
    struct weir_wall since;
    uint64_t tasks;
};

/* ---- alerts_watch.c ---- */
void alerts_watch(struct broker *b);
/* What is the matter, of a watcher elsewhere. */
void alerts_see(struct broker *b, enum weir_alert_condition c, enum weir_alert_severity severity, const char *key, const char *project,
                const char *text);

/* ---- alerts_send.c ---- */
void alerts_send(struct broker *b);
void alerts_test(struct broker *b, struct weir_command *cmd);

/* ---- alerts_text.c ---- */

enum { ALERTS_SHOWN_MAX = 200, ALERTS_LINES_MAX = 20, ALERTS_BATCH_MAX = 500 };

struct alert_message {
    const struct weir_config_receiver *receiver;
    const struct weir_alert *const *alert;
    size_t n;
    size_t shown_max;       /* of them are listed, the others counted */
    const char *owner;      /* installation */
    const char *url;
    uint64_t id;            /* of the message: the same when it is sent again unchanged */
    struct weir_wall now;
    bool is_test;
};
struct weir_str alert_text_webhook(const struct alert_message *m);
struct weir_str alert_text_slack(const struct alert_message *m);
/* live: for how long what fires counts as such without another word. */
struct weir_str alert_text_alertmanager(const struct alert_message *m, struct weir_dur live);
struct weir_str alert_text_mail(const struct alert_message *m);
