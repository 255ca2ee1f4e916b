#include "base/base.h"

const char *espy_status_text(espy_status status)
{
    switch (status) {
    case ESPY_OK:
        return "ok";
    case ESPY_INVALID_ARGUMENT:
        return "invalid argument";
    case ESPY_OUT_OF_MEMORY:
        return "out of memory";
    case ESPY_IO_ERROR:
        return "input or output error";
    case ESPY_BAD_FORMAT:
        return "bad file format";
    case ESPY_UNSUPPORTED:
        return "not supported";
    case ESPY_NO_DEVICE:
        return "no usable device";
    case ESPY_DEVICE_LOST:
        return "device lost";
    case ESPY_VULKAN_ERROR:
        return "Vulkan error";
    case ESPY_TIMEOUT:
        return "timeout";
    case ESPY_MISMATCH:
        return "result out of tolerance";
    }
    return "unknown status";
}
