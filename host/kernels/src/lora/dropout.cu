// The mask of dropout: for every element 0 or 1 / (1 - p), by the words of Philox4x32-10 that the CPU's body draws.
//
// A thread draws the four words of four elements, under the key (seed) and the counter (four, four >> 32, place, step).

extern "C" __global__ void dropout_mask(unsigned long long elements, unsigned int key0, unsigned int key1,
                                        unsigned int place, unsigned int step, unsigned int threshold, float keep,
                                        float *mask) {
    unsigned long long four = blockIdx.x * (unsigned long long)blockDim.x + threadIdx.x;
    unsigned long long first = 4 * four;
    if (first >= elements) {
        return;
    }
    unsigned int words[4] = {(unsigned int)four, (unsigned int)(four >> 32), place, step};
    for (int round = 0; round < 10; ++round) {
        unsigned long long p0 = (unsigned long long)words[0] * 0xd2511f53u;
        unsigned long long p1 = (unsigned long long)words[2] * 0xcd9e8d57u;
        words[0] = (unsigned int)(p1 >> 32) ^ words[1] ^ key0;
        words[2] = (unsigned int)(p0 >> 32) ^ words[3] ^ key1;
        words[1] = (unsigned int)p1;
        words[3] = (unsigned int)p0;
        key0 += 0x9e3779b9u;
        key1 += 0xbb67ae85u;
    }
    for (int i = 0; i < 4 && first + i < elements; ++i) {
        mask[first + i] = words[i] < threshold ? 0.0f : keep;
    }
}
