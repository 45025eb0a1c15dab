/* "CHH1" and a HELLO; what the broker answers is an ordinary answer. */
#include "hello.h"

void hello_put(struct buf *out)
{
    struct msg m;

    buf_put(out, "CHH1", 4);
    msg_init(&m, MSG_HELLO);
    msg_set_u(&m, FIELD_FORMAT, 1);
    msg_encode(&m, out);
}
