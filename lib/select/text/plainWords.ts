import { characterKind, folded, kindOf } from './characters.js'

const { space, letter, ideograph } = characterKind

/**
 * The words of a text as decontamination has them: in lower case, parted by white space, without punctuation and operators around
 * them. Characters of scripts without spaces are words of their own. Takes time in proportion to the text's length.
 */
export function plainWords(text: string): string[] {
  const plain = folded(text)
  const words: string[] = []
  // Where the word at hand begins, and where its last letter ends.
  let [begin, end] = [-1, -1]
  const finish = () => {
    if (begin >= 0) words.push(plain.slice(begin, end))
    begin = -1
  }
  for (let i = 0; i < plain.length; i++) {
    const kind = kindOf(plain.charCodeAt(i))
    if (kind === letter) {
      if (begin < 0) begin = i
      end = i + 1
    } else if (kind === space) finish()
    else if (kind === ideograph) {
      finish()
      words.push(plain[i] as string)
    }
  }
  finish()
  return words
}
