/* SPDX-License-Identifier: Apache-2.0 */

/*
 * The broker proves its own ledger now and then, as 'weir bill --check' does, a little at a time so that nobody waits for it. What does not
 * hold is an alert, until a later proof finds it mended.
 */

#include <inttypes.h>

#include "base/log.h"
#include "broker_priv.h"

enum {
    POSTINGS_PER_STEP = 2000, /* about a millisecond */
    FIRST_MS = 600000,        /* after the start, at the latest */
};

static void begin(struct broker *b)
{
    struct weir_err err;
    if (weir_proof_new(&b->self_check.proof, b->store, &err) < 0) {
        weir_log(WEIR_LOG_WARNING, "ledger.check", "text=\"%s\"", err.text);
    }
}

static void end(struct broker *b)
{
    struct weir_proof_result r;
    weir_proof_end(b->self_check.proof, &r);
    const char *wrong = r.error.text[0] != '\0' ? r.error.text : r.close_error.text;
    if (wrong[0] == '\0') {
        weir_log(WEIR_LOG_NOTICE, "ledger.check", "balanced=true postings=%" PRIu64 " closes=%" PRIu64, r.sum.postings, r.closes);
    } else {
        weir_log(WEIR_LOG_ERROR, "ledger.check", "balanced=false text=\"%s\"", wrong);
    }
    alerts_found(b, WEIR_FINDING_LEDGER, "ledger", wrong[0] == '\0' ? NULL : wrong);
}

void self_check_tick(struct broker *b)
{
    struct self_check *c = &b->self_check;
    uint64_t now = broker_ms(b);
    uint64_t every_ms = (uint64_t)(b->config->ledger_check.us / 1000);
    if (c->due_ms == 0) {
        c->due_ms = now + (every_ms < FIRST_MS ? every_ms : FIRST_MS);
    }
    if (c->proof == NULL && now >= c->due_ms) {
        c->due_ms = now + every_ms;
        begin(b);
    }
    if (c->proof == NULL) {
        return;
    }
    struct weir_err err;
    int r = weir_proof_step(c->proof, b->store, POSTINGS_PER_STEP, &err);
    if (r > 0) {
        return;
    }
    if (r < 0) { /* it could not be read: nothing is known of it */
        weir_log(WEIR_LOG_WARNING, "ledger.check", "text=\"%s\"", err.text);
    } else {
        end(b);
    }
    self_check_free(b);
}

void self_check_free(struct broker *b)
{
    weir_proof_free(b->self_check.proof);
    b->self_check.proof = NULL;
}
