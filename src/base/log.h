/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/*
 * Logging of programs: one structured line per event on standard error, "TIME LEVEL event key=value
 * ...". Libraries return errors and never log. The line is written with one write(2), so lines of
 * several processes do not mix. Never log secrets.
 */

enum weir_log_level {
    WEIR_LOG_ERROR,
    WEIR_LOG_WARNING,
    WEIR_LOG_NOTICE,
    WEIR_LOG_INFO,
    WEIR_LOG_DEBUG,
    WEIR_LOG_MAX,
};

/* The program's name in each line and the highest level written (default NOTICE). */
void weir_log_setup(const char *program, enum weir_log_level level);

/* event is a stable name ("agent.joined"); fmt gives "key=value key=\"some text\"". */
void weir_log(enum weir_log_level level, const char *event, const char *fmt, ...)
    __attribute__((format(printf, 3, 4)));
