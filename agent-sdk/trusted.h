/* Headers of answers that a handle of this process has verified, so that no
 * other handle has to: everything that left the broker in one cycle hangs under
 * one signature. Exact bytes under the exact key, or nothing.
 * Any thread; in a forked child, too. */
#ifndef CHOIR_SDK_TRUSTED_H
#define CHOIR_SDK_TRUSTED_H

#include "proto/key.h"

/* Was this header verified, with this signature, under this key? A false no is
 * possible: then verify. */
bool trusted_has(const uint8_t key[KEY_PUBLIC_BYTES], struct bytes header,
                 const uint8_t signature[KEY_SIGNATURE_BYTES]);
/* It was. */
void trusted_add(const uint8_t key[KEY_PUBLIC_BYTES], struct bytes header,
                 const uint8_t signature[KEY_SIGNATURE_BYTES]);

#endif
