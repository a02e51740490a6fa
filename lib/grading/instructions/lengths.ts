import { splitWords, strip } from '../programs/pythonText.js'
import type { ReadInstruction } from './instruction.js'
import { countSentences } from './sentences.js'

export const numberOfSentences: ReadInstruction = (values) => {
  const fits = values.relation('relation', 'num_sentences')
  return (response) => fits(countSentences(response))
}

export const numberOfParagraphs: ReadInstruction = (values) => {
  const asked = values.count('num_paragraphs')
  return (response) => {
    const paragraphs = response.split(/\s?\*\*\*\s?/)
    const blank = paragraphs.flatMap((paragraph, index) => (strip(paragraph) === '' ? [index] : []))
    const isOutside = blank.every((index) => index === 0 || index === paragraphs.length - 1)
    return isOutside && paragraphs.length - blank.length === asked
  }
}

export const numberOfWords: ReadInstruction = (values) => {
  const fits = values.relation('relation', 'num_words')
  return (response) => fits(response.match(/[\p{L}\p{N}_]+/gu)?.length ?? 0)
}

export const nthParagraphFirstWord: ReadInstruction = (values) => {
  const [asked, nth] = [values.count('num_paragraphs'), values.count('nth_paragraph')]
  const firstWord = values.text('first_word').toLowerCase()
  return (response) => {
    const paragraphs = response.split('\n\n')
    const count = paragraphs.filter((paragraph) => strip(paragraph) !== '').length
    // The reference counts paragraphs without the blank ones and finds the nth among all.
    const word = nth <= count ? splitWords(paragraphs[nth - 1] ?? '')[0] : undefined
    if (word === undefined || count !== asked) return false
    const bare = word.replace(/^'+/, '').replace(/^"+/, '')
    return bare.split(/[.,?!'"]/, 1)[0]?.toLowerCase() === firstWord
  }
}
