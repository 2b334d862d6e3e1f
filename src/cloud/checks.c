/* SPDX-License-Identifier: Apache-2.0 */
#include "cloud/checks.h"

#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>

/* What is off by less may be the way the answer took; what is off by more, signatures are refused for. */
#define CLOCK_WARN_S INT64_C(30)
#define CLOCK_BAD_S INT64_C(240)

void weir_checks_add(struct weir_checks *k, const char *name, enum weir_check_verdict verdict, const char *remedy, const char *fmt, ...)
{
    struct weir_check c = {.verdict = verdict};
    va_list ap;
    va_start(ap, fmt);
    (void)vsnprintf(c.text, sizeof c.text, fmt, ap);
    va_end(ap);
    (void)snprintf(c.name, sizeof c.name, "%s", name);
    (void)snprintf(c.remedy, sizeof c.remedy, "%s", remedy == NULL ? "" : remedy);
    weir_vec_push(&k->row, c);
}

void weir_checks_release(struct weir_checks *k)
{
    weir_vec_release(&k->row);
}

/* True where the clocks are so far apart that a refusal may be due to it. */
static bool add_clock(struct weir_checks *k, const struct weir_cloud_answer *a, const char *provider, struct weir_wall now)
{
    int64_t off = weir_wall_sub(a->date, now).us / WEIR_US_PER_S;
    int64_t far = off < 0 ? -off : off;
    if (a->date.us == 0) {
        return false;
    }
    if (far < CLOCK_WARN_S) {
        weir_checks_add(k, "clock", WEIR_CHECK_OK, NULL, "%s and this host agree to the half minute", provider);
    } else {
        weir_checks_add(k, "clock", far < CLOCK_BAD_S ? WEIR_CHECK_WARNING : WEIR_CHECK_FAILED, "set the broker's clock: timedatectl set-ntp true",
                        "the broker's clock is %" PRId64 " s %s %s's", far, off > 0 ? "behind" : "ahead of", provider);
    }
    return far >= CLOCK_BAD_S;
}

bool weir_checks_reach(struct weir_checks *k, const struct weir_cloud_answer *a, const char *provider, struct weir_wall now, const char *keys)
{
    /* no try was made for want of credentials, or they were refused and no others came */
    bool has_none = a->status == 0 && (a->tries == 0 || (a->sent && a->class == WEIR_PROVIDER_REFUSED));
    if (has_none) {
        weir_checks_add(k, "credentials", WEIR_CHECK_FAILED, keys, "%s", a->text);
        return false;
    }
    if (a->status == 0 || (a->status >= 500 && a->class != WEIR_PROVIDER_THROTTLED)) {
        char remedy[160];
        (void)snprintf(remedy, sizeof remedy, "see that the broker can reach it (DNS, firewall, proxy), and that 'endpoint' of providers.%s is right, where it is set",
                       provider);
        weir_checks_add(k, "endpoint", WEIR_CHECK_FAILED, remedy, "%s", a->text);
        return false;
    }
    weir_checks_add(k, "endpoint", WEIR_CHECK_OK, NULL, "it answers");
    bool is_far = add_clock(k, a, provider, now);
    if (is_far && a->skewed) {
        return false; /* whether the credentials are good can be told once the clock is right */
    }
    if (a->stale || a->status == 401) {
        weir_checks_add(k, "credentials", WEIR_CHECK_FAILED, keys, "%s", a->text);
        return false;
    }
    weir_checks_add(k, "credentials", WEIR_CHECK_OK, NULL, "they are taken");
    return true;
}
