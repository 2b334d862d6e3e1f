/* SPDX-License-Identifier: Apache-2.0 */
#include "progress.h"

#include <stdio.h>
#include <unistd.h>

#include "output.h"

enum { FIRST_MS = 500, REDRAW_MS = 200, MARK_MS = 5000 };

static bool is_over(struct weir_mono since, struct weir_mono now, int ms)
{
    return now.us - since.us >= ms * WEIR_US_PER_MS;
}

void weir_progress_begin(struct weir_progress *p, const char *label, struct weir_mono now)
{
    struct weir_term term = weir_term_of(STDERR_FILENO);
    *p = (struct weir_progress){
        .label = label,
        .live = term.live,
        .width = term.width,
        .drawn = {now.us - (REDRAW_MS - FIRST_MS) * WEIR_US_PER_MS},
        .older = {.at = now},
        .newer = {.at = now},
    };
}

/* "52,301", or "3.4" where there are few. */
static void add_rate(struct weir_str *out, double per_second)
{
    if (per_second < 10) {
        weir_str_addf(out, "%.2g", per_second);
        return;
    }
    char digits[32];
    int n = snprintf(digits, sizeof digits, "%.0f", per_second < 1e15 ? per_second : 1e15);
    for (int i = 0; i < n; i++) {
        weir_str_addf(out, "%s%c", i > 0 && (n - i) % 3 == 0 ? "," : "", digits[i]);
    }
}

void weir_progress_text(struct weir_str *out, const struct weir_progress *p, unsigned percent, double per_second, struct weir_dur left)
{
    weir_str_addf(out, "%s%s%s%s%u %%", p->label == NULL ? "" : p->label, p->label == NULL ? "" : ": ", p->what == NULL ? "" : p->what,
                  p->what == NULL ? "" : ", ", percent);
    if (left.us <= 0) {
        return;
    }
    if (p->unit != NULL) {
        weir_str_adds(out, ", ");
        add_rate(out, per_second);
        weir_str_addf(out, " %s/s", p->unit);
    }
    char buf[WEIR_RFC3339_SIZE];
    weir_str_addf(out, ", %s left", weir_dur_format(weir_dur_s((left.us + WEIR_US_PER_S - 1) / WEIR_US_PER_S), buf));
}

static void draw(struct weir_progress *p, uint64_t done, uint64_t total, struct weir_mono now)
{
    double seconds = (double)(now.us - p->older.at.us) / 1e6;
    double per_second = seconds > 0 && done > p->older.done ? (double)(done - p->older.done) / seconds : 0;
    struct weir_dur left = {-1};
    if (per_second > 0) {
        double left_s = (double)(total - done) / per_second;
        left.us = left_s < 1e9 ? (int64_t)(left_s * 1e6) : -1;
    }
    struct weir_str text = WEIR_STR_INIT(256);
    weir_progress_text(&text, p, (unsigned)((double)done * 100 / (double)total), per_second, left);
    struct weir_sv seen = weir_out_prefix(weir_str_sv(&text), p->width > 1 ? p->width - 1 : 1);
    (void)fprintf(stderr, "\r\033[K%.*s", WEIR_SV_ARG(seen));
    weir_str_release(&text);
    p->shown = true;
    p->drawn = now;
}

static bool is_same(const char *a, const char *b)
{
    return a == b || (a != NULL && b != NULL && weir_streq(a, b));
}

void weir_progress_show(struct weir_progress *p, const char *what, const char *unit, uint64_t done, uint64_t total,
                        struct weir_mono now)
{
    if (!p->live || total == 0) {
        return;
    }
    done = done < total ? done : total;
    if (!is_same(p->what, what) || !is_same(p->unit, unit) || done < p->newer.done) {
        p->what = what;
        p->unit = unit;
        p->newer = p->older = (struct weir_progress_mark){now, done};
    }
    if (is_over(p->newer.at, now, MARK_MS)) {
        p->older = p->newer;
        p->newer = (struct weir_progress_mark){now, done};
    }
    if (is_over(p->drawn, now, REDRAW_MS)) {
        draw(p, done, total, now);
    }
}

void weir_progress_end(struct weir_progress *p)
{
    if (p->shown) {
        (void)fputs("\r\033[K", stderr);
        p->shown = false;
    }
}
