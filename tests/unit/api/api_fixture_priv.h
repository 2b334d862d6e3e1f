/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* The two seams of the API that the fixture stands behind: the store that it reads, the service that it asks. */

#include "api_fixture.h"
#include "base/mem.h"

/* So many seconds after the fixture's now. */
#define AT(s)                                                                                                          \
    {                                                                                                                  \
        INT64_C(1795377600000000) + (s)*INT64_C(1000000)                                                               \
    }

/* api_fixture_store.c */
void fixture_store_init(struct fixture_store *s);
/* api_fixture_service.c; interns its offers' model. */
void fixture_service_start(struct fixture_service *s, struct weir_gpu_table *gpus);
void fixture_service_stop(struct fixture_service *s);
