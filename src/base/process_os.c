/* SPDX-License-Identifier: Apache-2.0 */
#include "process.h"

#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/prctl.h>
#include <unistd.h>

#include "mem.h"
#include "str.h"

void weir_process_conceal(void)
{
#ifndef __SANITIZE_ADDRESS__
    (void)prctl(PR_SET_DUMPABLE, 0, 0, 0, 0);
#endif
}

/* By how such variables are called everywhere: WEIR_TOKEN, AWS_SECRET_ACCESS_KEY, RUNPOD_API_KEY, PGPASSWORD. */
static bool looks_secret(const char *entry)
{
    static const char *const words[] = {"TOKEN", "SECRET", "PASSWORD", "PASSWD", "PASSPHRASE", "API_KEY", "APIKEY", "ACCESS_KEY", "PRIVATE_KEY", "CREDENTIAL"};
    char name[256];
    size_t n = strcspn(entry, "=");
    if (n >= sizeof name) {
        return false;
    }
    memcpy(name, entry, n);
    name[n] = '\0';
    for (size_t i = 0; i < sizeof words / sizeof words[0]; i++) {
        if (strcasestr(name, words[i]) != NULL) {
            return true;
        }
    }
    return false;
}

/* What was hidden: "NAME=value" each, ended by NULL. Written before there are threads. */
static char **hidden;

void weir_process_hide_secrets(void)
{
    size_t kept = 0;
    size_t n_hidden = 0;
    while (hidden != NULL && hidden[n_hidden] != NULL) {
        n_hidden++;
    }
    for (size_t i = 0; environ != NULL && environ[i] != NULL; i++) {
        if (looks_secret(environ[i])) {
            hidden = weir_realloc(hidden, n_hidden + 2, sizeof *hidden);
            hidden[n_hidden++] = weir_strdup(environ[i]);
            hidden[n_hidden] = NULL;
            explicit_bzero(environ[i], strlen(environ[i])); /* the very bytes that /proc/PID/environ shows */
        } else {
            environ[kept++] = environ[i];
        }
    }
    if (environ != NULL) {
        environ[kept] = NULL;
    }
}

const char *weir_process_env(const char *name)
{
    size_t n = strlen(name);
    for (char **h = hidden; h != NULL && *h != NULL; h++) {
        if (strncmp(*h, name, n) == 0 && (*h)[n] == '=') {
            return *h + n + 1;
        }
    }
    return getenv(name);
}

void weir_process_lend(unsigned capability, bool on)
{
    /* it fails where the process has it not: then there is nothing to lend */
    (void)prctl(PR_CAP_AMBIENT, on ? PR_CAP_AMBIENT_RAISE : PR_CAP_AMBIENT_LOWER, capability, 0, 0);
}
