/** Characters of a piece. Texts of up to twice as many are tokenized whole. */
const pieceCharacters = 2 ** 15
/** Characters on both sides of a cut whose tokens are compared. */
const surroundings = 256
/** Characters in which places for a cut are looked for, and how many of them are tried. */
const [searched, maxTried] = [2048, 8]

/** Where tokenizers of every kind we know begin a token: behind a line break, before a space or a mark between words. */
const places = /(?<=\S\n)(?=\S)|(?<=\S)(?= \p{L})|(?<=\p{L})(?=[\p{P}\p{S}]\p{L})/gu

/**
 * The tokens of a text, made as far as they are asked for. A long text is cut into pieces where that changes no token: at each
 * cut the surroundings have the same tokens in one and in two. A tokenizer for which that is nowhere so gets the text whole.
 */
export class LazyTokens {
  /** The first tokens, at most `most`; as many as are counted otherwise. */
  readonly ids: number[] = []
  /** Tokens found so far. */
  count = 0
  private position = 0

  /**
   * @param encode - ids of a text
   * @param most - ids that are kept; further ones are counted only
   * @param piece - characters of a piece; for tests
   */
  constructor(
    private readonly text: string,
    private readonly encode: (text: string) => number[],
    private readonly most: number,
    private readonly piece = pieceCharacters,
  ) {}

  /** All tokens are counted. */
  get isWhole(): boolean {
    return this.position === this.text.length
  }

  /** Goes on until so many tokens are counted, or all. */
  upTo(count: number): number {
    while (this.count < count && !this.isWhole) this.next()
    return this.count
  }

  private next(): void {
    const end = this.endOfPiece()
    const ids = this.encode(this.text.slice(this.position, end))
    this.position = end
    this.count += ids.length
    for (let i = 0; i < ids.length && this.ids.length < this.most; i++) this.ids.push(ids[i] as number)
  }

  private endOfPiece(): number {
    const { text, position } = this
    // Where no cut was found, the next attempt is as far away again: the attempts cost no more than the tokens.
    for (let length = this.piece; text.length - position > 2 * length; length *= 2) {
      const from = position + length
      let tried = 0
      for (const { index } of text.slice(from, from + searched).matchAll(places)) {
        if (this.mayCut(from + index)) return from + index
        if (++tried === maxTried) break
      }
    }
    return text.length
  }

  private mayCut(at: number): boolean {
    const { text } = this
    const before = text.slice(whole(text, Math.max(this.position, at - surroundings)), at)
    const after = text.slice(at, whole(text, Math.min(text.length, at + surroundings)))
    const apart = [...this.encode(before), ...this.encode(after)]
    const together = this.encode(before + after)
    return together.length === apart.length && together.every((id, i) => id === apart[i])
  }
}

/** The place, or the one before it where it is in the middle of a surrogate pair. */
const whole = (text: string, at: number): number => (/[\udc00-\udfff]/.test(text[at] ?? '') ? at - 1 : at)
