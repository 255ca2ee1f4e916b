// The tuner: measures the forms of kernels for the shapes of a network and keeps what is decided.
#ifndef RUNTIME_API_TUNE_H_
#define RUNTIME_API_TUNE_H_

#include "api/session.h"

// Adds to the table what is kept for the device; nothing kept, or nothing to trust, is fine.
espy_status espy_tune_load(const struct vk_device *device, struct choices *choices);
// Measures what a plan for the session's types of inputs asks and its table does not answer, adds
// that to the table and to what is kept.
espy_status espy_tune_session(espy_session *session);

#endif // RUNTIME_API_TUNE_H_
