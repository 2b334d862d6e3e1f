/* SPDX-License-Identifier: Apache-2.0 */
#include "log.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <unistd.h>

#include "clock.h"
#include "str.h"

enum { LINE_BYTES_MAX = 4096 };

static const char *program = "weir";
static enum weir_log_level level_max = WEIR_LOG_NOTICE;

void weir_log_setup(const char *name, enum weir_log_level level)
{
    program = name;
    level_max = level;
}

void weir_log(enum weir_log_level level, const char *event, const char *fmt, ...)
{
    static const char *const names[WEIR_LOG_MAX] = {"error", "warning", "notice", "info", "debug"};
    if (level > level_max) {
        return;
    }
    int saved = errno;
    char stamp[WEIR_RFC3339_SIZE];
    char line[LINE_BYTES_MAX];
    (void)weir_wall_format(weir_clock_wall(&weir_clock_os), stamp);
    int head = snprintf(line, sizeof line, "%s %s %s %s ", stamp, program, names[level], event);
    va_list ap;
    va_start(ap, fmt);
    int body = vsnprintf(line + head, sizeof line - (size_t)head, fmt, ap);
    va_end(ap);
    size_t n = (size_t)head + (body < 0 ? 0 : (size_t)body);
    if (n > sizeof line - 2) {
        n = sizeof line - 2;
    }
    line[n] = '\n';
    ssize_t written = write(STDERR_FILENO, line, n + 1);
    (void)written;
    errno = saved;
}
