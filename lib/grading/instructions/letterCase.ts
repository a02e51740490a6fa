import { splitWords } from '../programs/pythonText.js'

/** As str.isupper(): a letter that is upper case, and none that is not. */
export const isUpper = (text: string): boolean => /\p{Uppercase}/u.test(text) && !/[\p{Lowercase}\p{Lt}]/u.test(text)

/** As str.islower() */
export const isLower = (text: string): boolean => /\p{Lowercase}/u.test(text) && !/[\p{Uppercase}\p{Lt}]/u.test(text)

/**
 * Words in capital letters, by the rules of the Penn Treebank: punctuation stands for itself, contractions are divided (I'M are two
 * words), words with hyphens are one.
 */
export function capitalWords(text: string): number {
  const apart = text
    // What has no case is only taken away: it never counts.
    .replace(/[;@#$%&?!()[\]{}<>"`“”«»‘’„]|--|\.\.\./g, ' ')
    .replace(/[:,](?!\d)/g, ' ')
    .replace(/(?<=[^'\s])(n't|'(?:s|m|d|ll|re|ve))(?![^\s])/gi, ' $1')
    .replace(
      /\b(can)(not)\b|\b(gim|lem)(me)\b|\b(gon|wan)(na)\b|\b(got)(ta)\b|(?<!\S)('t)(is|was)\b/gi,
      ' $1$3$5$7$9 $2$4$6$8$10',
    )
  return splitWords(apart).filter(isUpper).length
}
