/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/*
 * What is the matter and whom it was told: the state of all alerts, without any I/O. Watchers say what they see, as often
 * as they look; the book makes of it alerts that fire once and are resolved once. What of it a receiver has not
 * been told follows from the state itself, so that there is no queue that could grow, or be lost.
 */

#include "base/err.h"
#include "base/map.h"
#include "base/vec.h"
#include "base/wtime.h"

enum {
    WEIR_ALERTS_MAX = 16384,
    WEIR_ALERT_KEY_SIZE = 320,
    WEIR_ALERT_TEXT_SIZE = 512,
    WEIR_ALERT_NAME_SIZE = 64, /* of receivers and users */
};

enum weir_alert_condition {
    WEIR_ALERT_BUDGET_THRESHOLD,
    WEIR_ALERT_BUDGET_FORECAST,
    WEIR_ALERT_BUDGET_RUN_OUT,
    WEIR_ALERT_PRICE_DRIFT,
    WEIR_ALERT_LEAK_SUSPECT,
    WEIR_ALERT_RECONCILIATION,
    WEIR_ALERT_NODE_LOST,
    WEIR_ALERT_NODE_UNFIT,
    WEIR_ALERT_QUEUE_WAIT,
    WEIR_ALERT_LEDGER_CHECK,
    WEIR_ALERT_QUOTA_THRESHOLD,
    WEIR_ALERT_LINK_DOWN,
    WEIR_ALERT_CONDITION_MAX,
};

enum weir_alert_severity {
    WEIR_ALERT_WARNING,
    WEIR_ALERT_CRITICAL,
    WEIR_ALERT_SEVERITY_MAX,
};

const char *weir_alert_condition_name(enum weir_alert_condition c);
const char *weir_alert_severity_name(enum weir_alert_severity s);

/* What a watcher sees. */
struct weir_alert_sight {
    enum weir_alert_condition condition;
    enum weir_alert_severity severity;
    const char *key;     /* makes it the same alert: "node-lost/7" */
    const char *project; /* "": nobody's in particular */
    const char *text;    /* one line for a person; may change while it fires */
    uint32_t step;       /* one that is higher than before is news again */
};

/* What a receiver was told last. */
struct weir_alert_told {
    char receiver[WEIR_ALERT_NAME_SIZE];
    bool known;             /* it was told anything at all */
    bool firing;
    struct weir_wall since; /* of what it was told */
    struct weir_wall at;
    uint32_t attempts;      /* to tell it what it does not know yet */
    uint64_t sent_ms;       /* this run's own: of the last that arrived; 0: none did */
};

struct weir_alert {
    uint64_t id;
    enum weir_alert_condition condition;
    enum weir_alert_severity severity;
    char *key;
    char *project;
    char *text;
    uint32_t step;
    bool firing;
    uint32_t times;         /* that it began to fire */
    struct weir_wall began; /* to fire, the last time */
    struct weir_wall since; /* of the state, or of its last step */
    char acked_by[WEIR_ALERT_NAME_SIZE]; /* "": nobody did */
    struct weir_wall acked;
    char silenced_by[WEIR_ALERT_NAME_SIZE];
    struct weir_wall silenced_until; /* 0: is not */
    WEIR_VEC(struct weir_alert_told) told;
    uint64_t round; /* in which it was last seen */
    bool changed;   /* since it was last stored */
};

struct weir_alert_book {
    WEIR_VEC(struct weir_alert *) alerts; /* by id */
    struct weir_map by_key;               /* hash of the key, the next one where another has it -> index */
    uint64_t last_id;
    uint64_t round;
    uint64_t dropped; /* for want of room */
    size_t n_changed;
};

void weir_alert_book_release(struct weir_alert_book *b);

/* Begins a look at some conditions: what is not seen in it is over, see weir_alert_book_end. Returns its number. */
uint64_t weir_alert_book_begin(struct weir_alert_book *b);
/* It is so. False: the book is full of what fires. */
bool weir_alert_book_see(struct weir_alert_book *b, const struct weir_alert_sight *s, struct weir_wall now);
/* Resolves what fires under that condition, whose key begins so, and was not seen since that look began. */
void weir_alert_book_end(struct weir_alert_book *b, enum weir_alert_condition c, const char *prefix, uint64_t round, struct weir_wall now);
/* It is over. No-op where it does not fire. */
void weir_alert_book_clear(struct weir_alert_book *b, const char *key, struct weir_wall now);
bool weir_alert_book_fires(const struct weir_alert_book *b, const char *key);
/* NULL where there is none. */
struct weir_alert *weir_alert_book_find(struct weir_alert_book *b, uint64_t id);
/* Marks it as to be stored. */
void weir_alert_book_touch(struct weir_alert_book *b, struct weir_alert *a);
/* Removes what was resolved before; the newest stays, as ids go on from it. gone is called before each. */
void weir_alert_book_forget(struct weir_alert_book *b, struct weir_wall before, void (*gone)(void *ctx, const struct weir_alert *a), void *ctx);

/* What of it the receiver is to be told. */
struct weir_alert_due {
    const char *receiver;
    struct weir_wall now;
    struct weir_dur repeat;    /* what goes on firing is told again so often; 0: never */
    uint64_t refresh_ms;       /* the receiver forgets what it is not told so often; 0: it does not */
    uint64_t now_ms;
};
bool weir_alert_is_due(const struct weir_alert *a, const struct weir_alert_due *d);
/* Made where it is absent. */
struct weir_alert_told *weir_alert_told_to(struct weir_alert *a, const char *receiver);
bool weir_alert_is_silenced(const struct weir_alert *a, struct weir_wall now);

/* As it is stored. */
struct weir_str weir_alert_to_json(const struct weir_alert *a);
/* Adds one that was stored. Errors: -WEIR_ECORRUPT. */
int weir_alert_book_restore(struct weir_alert_book *b, const char *json, struct weir_err *err);
