#include <espy/espy.h>
#include <stdio.h>

int main(int argc, char **argv)
{
    static float image[3 * 64 * 64], logits[8]; // image: RGB planes, -1..1
    struct espy_tensor in = {"image", ESPY_FLOAT32, 4, {1, 3, 64, 64}, image, sizeof(image)};
    struct espy_tensor out = {.name = "logits", .data = logits, .size = sizeof(logits)};
    espy_context *context = NULL;
    espy_device *device = NULL;
    espy_model *model = NULL;
    espy_session *session = NULL;
    int failed = argc != 2 || espy_context_create(NULL, &context) != ESPY_OK ||
                 espy_device_create(context, NULL, &device) != ESPY_OK ||
                 espy_model_load_file(context, argv[1], &model) != ESPY_OK ||
                 espy_session_create(device, model, NULL, &session) != ESPY_OK ||
                 espy_session_run(session, &in, 1, &out, 1) != ESPY_OK;
    for (int i = 0; !failed && i < 8; i++)
        printf("%d: %f\n", i, logits[i]);
    espy_session_destroy(&session);
    espy_model_destroy(&model);
    espy_device_destroy(&device);
    espy_context_destroy(&context);
    return failed;
}
