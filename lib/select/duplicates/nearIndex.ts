import { GrowingWords } from './growingWords.js'
import { type Banding, type Sketch, similarity } from './sketch.js'

/** A text that is like one before it. */
export interface Match {
  /** Number of the other text, as it was given. */
  text: number
  similarity: number
}

/**
 * The texts so far, by their bands. A text takes 4 bytes for each kept shingle, up to 1 kB, and 8 for each band, beside 16 and more
 * for a table of bands.
 */
export class NearIndex {
  private readonly numbers = new GrowingWords()
  /** Where the shingles of each text begin, and how many the text has altogether. */
  private readonly begins = new GrowingWords()
  private readonly totals = new GrowingWords()
  private readonly shingles = new GrowingWords()
  /** Of each text and band its key, and the entry before it of the same slot plus one. */
  private readonly keys = new GrowingWords()
  private readonly previous = new GrowingWords()
  private slots = new Uint32Array(1 << 12)
  /** The last question to the index, from 1, for which each text was compared. */
  private readonly comparedFor = new GrowingWords()
  private asked = 0

  constructor(
    private readonly threshold: number,
    private readonly banding: Banding,
  ) {}

  /** The most similar of the texts in the index, where it reaches the threshold; of equals the first. */
  find(sketch: Sketch): Match | undefined {
    let best: Match | undefined
    for (const match of this.findAll(sketch)) {
      const isBetter = !best || match.similarity > best.similarity
      if (isBetter || (match.similarity === best?.similarity && match.text < best.text)) best = match
    }
    return best
  }

  /** All texts in the index that reach the threshold, in no order. */
  findAll(sketch: Sketch): Match[] {
    const matches: Match[] = []
    this.asked++
    for (let band = 0; band < this.banding.bands; band++) {
      const key = this.keyOf(sketch, band)
      let entry = this.slots[key & (this.slots.length - 1)] as number
      for (; entry > 0; entry = this.previous.at(entry - 1)) {
        if (this.keys.at(entry - 1) !== key) continue
        const place = Math.floor((entry - 1) / this.banding.bands)
        if (this.comparedFor.at(place) === this.asked) continue
        this.comparedFor.set(place, this.asked)
        const found = similarity(sketch, this.textAt(place))
        if (found >= this.threshold) matches.push({ text: this.numbers.at(place), similarity: found })
      }
    }
    return matches
  }

  add(sketch: Sketch, text: number): void {
    const { bands } = this.banding
    this.numbers.push(text)
    this.begins.push(this.shingles.length)
    this.totals.push(sketch.total)
    this.comparedFor.push(0)
    for (const shingle of sketch.shingles) this.shingles.push(shingle)
    if (this.keys.length + bands > this.slots.length) this.growSlots()
    for (let band = 0; band < bands; band++) {
      this.keys.push(this.keyOf(sketch, band))
      this.previous.push(0)
      this.link(this.keys.length - 1)
    }
  }

  /** Keys of different bands are different words: the same word at two bands means nothing. */
  private keyOf(sketch: Sketch, band: number): number {
    return ((sketch.keys[band] as number) + Math.imul(band, 0x85ebca6b)) >>> 0
  }

  private link(entry: number): void {
    const slot = this.keys.at(entry) & (this.slots.length - 1)
    this.previous.set(entry, this.slots[slot] as number)
    this.slots[slot] = entry + 1
  }

  private growSlots(): void {
    this.slots = new Uint32Array(2 * this.slots.length)
    for (let entry = 0; entry < this.keys.length; entry++) this.link(entry)
  }

  private textAt(place: number): Pick<Sketch, 'shingles' | 'total'> {
    const begin = this.begins.at(place)
    const end = place + 1 < this.begins.length ? this.begins.at(place + 1) : this.shingles.length
    return { shingles: this.shingles.slice(begin, end), total: this.totals.at(place) }
  }
}
