import { strip } from '../programs/pythonText.js'
import type { ReadInstruction } from './instruction.js'
import { InstructionProblem } from './instruction.js'
import { detectLanguage, knownLanguages } from './language.js'
import { capitalWords, isLower, isUpper } from './letterCase.js'

export const twoResponses: ReadInstruction = () => (response) => {
  const parts = response.split('******').map(strip)
  const given = parts.filter((part) => part !== '')
  const isBlankInside = parts.slice(1, -1).includes('')
  return !isBlankInside && given.length === 2 && given[0] !== given[1]
}

export const repeatPrompt: ReadInstruction = (values) => {
  const prompt = strip(values.text('prompt_to_repeat')).toLowerCase()
  return (response) => strip(response).toLowerCase().startsWith(prompt)
}

export const endPhrase: ReadInstruction = (values) => {
  const phrase = strip(values.text('end_phrase')).toLowerCase()
  return (response) => withoutQuotes(strip(response)).toLowerCase().endsWith(phrase)
}

function withoutQuotes(text: string): string {
  let [from, to] = [0, text.length]
  while (from < to && text[from] === '"') from++
  while (to > from && text[to - 1] === '"') to--
  return text.slice(from, to)
}

export const quotation: ReadInstruction = () => (response) => {
  const text = strip(response)
  return text.length > 1 && text.startsWith('"') && text.endsWith('"')
}

export const noComma: ReadInstruction = () => (response) => !response.includes(',')

/** Where no language can be told, the instruction counts as followed. */
const isIn = (response: string, language: string): boolean => (detectLanguage(response) ?? language) === language

export const responseLanguage: ReadInstruction = (values) => {
  const language = values.text('language')
  if (!knownLanguages().includes(language)) {
    throw new InstructionProblem(`expected one of ${knownLanguages().join(', ')} for language`)
  }
  return (response) => isIn(response, language)
}

export const englishCapital: ReadInstruction = () => (response) => isUpper(response) && isIn(response, 'en')

export const englishLowercase: ReadInstruction = () => (response) => isLower(response) && isIn(response, 'en')

export const capitalWordFrequency: ReadInstruction = (values) => {
  const fits = values.relation('capital_relation', 'capital_frequency')
  return (response) => fits(capitalWords(response))
}
