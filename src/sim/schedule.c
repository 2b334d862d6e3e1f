/* SPDX-License-Identifier: Apache-2.0 */

#include "schedule.h"

#include <ctype.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>

#include "base/assert.h"
#include "base/mem.h"
#include "base/str.h"
#include "cloud/csv.h"

enum { ID_BYTES_MAX = 1024 };

struct weir_sim_schedule {
    FILE *file;
    char *path;
    bool begun; /* the first line is written */
    bool named;
};

int weir_sim_schedule_open(struct weir_sim_schedule **ret, const char *dir, const char *name, struct weir_err *err)
{
    *ret = NULL;
    if (dir == NULL) {
        return 0;
    }
    struct stat st;
    if (mkdir(dir, 0777) != 0 && errno != EEXIST) {
        return weir_fail(err, weir_error_from_errno(errno), "--schedule: the folder %s cannot be made", dir);
    }
    if (stat(dir, &st) == 0 && !S_ISDIR(st.st_mode)) {
        return weir_fail(err, -WEIR_EINVAL, "--schedule: %s is no folder: name one, or one to be made", dir);
    }
    WEIR_CLEANUP(weir_str_release) struct weir_str path = WEIR_STR_INIT(4096);
    weir_str_addf(&path, "%s/", dir);
    for (const char *p = name; *p != '\0'; p++) {
        bool keep = isalnum((unsigned char)*p) || *p == '.' || *p == '-' || *p == '_';
        weir_str_addc(&path, keep ? *p : '_');
    }
    weir_str_adds(&path, ".csv");
    FILE *file = fopen(weir_str_cstr(&path), "we");
    if (file == NULL) {
        return weir_fail(err, weir_error_from_errno(errno), "--schedule: %s cannot be written", weir_str_cstr(&path));
    }
    *ret = weir_alloc(sizeof **ret);
    **ret = (struct weir_sim_schedule){.file = file, .path = weir_str_take(&path)};
    return 0;
}

void weir_sim_schedule_name_tasks(struct weir_sim_schedule *s)
{
    if (s != NULL) {
        WEIR_ASSERT(!s->begun);
        s->named = true;
    }
}

static void begin(struct weir_sim_schedule *s)
{
    if (!s->begun) {
        fprintf(s->file, "task,submit,start,end,place,node,gpus,cost%s\n", s->named ? ",id" : "");
        s->begun = true;
    }
}

void weir_sim_schedule_add(struct weir_sim_schedule *s, const struct weir_sim_span *span)
{
    if (s == NULL) {
        return;
    }
    begin(s);
    fprintf(s->file, "%llu,%.15g,%.15g,%.15g,%s,", (unsigned long long)span->task, span->submit, span->start, span->end,
            span->place);
    if (span->node >= 0) {
        fprintf(s->file, "%lld", (long long)span->node);
    }
    fprintf(s->file, ",%.15g,%.15g", span->gpus, span->cost);
    if (s->named) {
        WEIR_CLEANUP(weir_str_release) struct weir_str id = WEIR_STR_INIT(ID_BYTES_MAX);
        weir_csv_write_field(&id, weir_sv_of(span->id == NULL ? "" : span->id));
        fprintf(s->file, ",%s", weir_str_cstr(&id));
    }
    fputc('\n', s->file);
}

int weir_sim_schedule_close(struct weir_sim_schedule *s, struct weir_err *err)
{
    if (s == NULL) {
        return 0;
    }
    int r = 0;
    begin(s);
    bool bad = ferror(s->file) != 0;
    if (fclose(s->file) != 0 || bad) {
        r = weir_fail(err, errno == ENOSPC ? -WEIR_ENOSPACE : -WEIR_EIO,
                      "--schedule: %s is not whole: is the disk full?", s->path);
    }
    free(s->path);
    free(s);
    return r;
}
