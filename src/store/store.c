/* SPDX-License-Identifier: Apache-2.0 */
#include "store/store.h"

int weir_store_reader(struct weir_store *writer, struct weir_store **ret, struct weir_err *err)
{
    return writer->ops->reader(writer, ret, err);
}

void weir_store_close(struct weir_store *s)
{
    if (s != NULL) {
        s->ops->close(s);
    }
}
