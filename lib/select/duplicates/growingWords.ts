/** So that to grow copies nothing and takes no second array. */
const [chunkBits, chunkLength] = [18, 2 ** 18]

/** Any number of words of 32 bits. */
export class GrowingWords {
  length = 0
  private readonly chunks: Uint32Array[] = []

  push(word: number): void {
    const place = this.length & (chunkLength - 1)
    if (place === 0) this.chunks.push(new Uint32Array(chunkLength))
    const chunk = this.chunks.at(-1) as Uint32Array
    chunk[place] = word
    this.length++
  }

  at(index: number): number {
    return (this.chunks[index >>> chunkBits] as Uint32Array)[index & (chunkLength - 1)] as number
  }

  set(index: number, word: number): void {
    const chunk = this.chunks[index >>> chunkBits] as Uint32Array
    chunk[index & (chunkLength - 1)] = word
  }

  slice(begin: number, end: number): Uint32Array {
    const [first, last] = [begin >>> chunkBits, (end - 1) >>> chunkBits]
    const from = begin & (chunkLength - 1)
    if (first === last) return (this.chunks[first] as Uint32Array).subarray(from, from + end - begin)
    return Uint32Array.from({ length: end - begin }, (_, i) => this.at(begin + i))
  }
}
