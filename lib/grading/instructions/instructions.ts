import { strip } from '../programs/pythonText.js'
import * as formats from './formats.js'
import { Arguments, type Check, InstructionProblem, type ReadInstruction } from './instruction.js'
import * as keywords from './keywords.js'
import * as lengths from './lengths.js'
import * as whole from './wholeResponse.js'

const kinds: ReadonlyMap<string, ReadInstruction> = new Map([
  ['keywords:existence', keywords.existence],
  ['keywords:frequency', keywords.frequency],
  ['keywords:forbidden_words', keywords.forbiddenWords],
  ['keywords:letter_frequency', keywords.letterFrequency],
  ['language:response_language', whole.responseLanguage],
  ['length_constraints:number_sentences', lengths.numberOfSentences],
  ['length_constraints:number_paragraphs', lengths.numberOfParagraphs],
  ['length_constraints:number_words', lengths.numberOfWords],
  ['length_constraints:nth_paragraph_first_word', lengths.nthParagraphFirstWord],
  ['detectable_content:number_placeholders', formats.placeholders],
  ['detectable_content:postscript', formats.postscript],
  ['detectable_format:number_bullet_lists', formats.bulletLists],
  ['detectable_format:constrained_response', formats.constrainedResponse],
  ['detectable_format:number_highlighted_sections', formats.highlightedSections],
  ['detectable_format:multiple_sections', formats.multipleSections],
  ['detectable_format:json_format', formats.jsonFormat],
  ['detectable_format:title', formats.title],
  ['combination:two_responses', whole.twoResponses],
  ['combination:repeat_prompt', whole.repeatPrompt],
  ['startend:end_checker', whole.endPhrase],
  ['startend:quotation', whole.quotation],
  ['change_case:capital_word_frequency', whole.capitalWordFrequency],
  ['change_case:english_capital', whole.englishCapital],
  ['change_case:english_lowercase', whole.englishLowercase],
  ['punctuation:no_comma', whole.noComma],
])

/** Ids of IFEval's instructions. */
export const instructionKinds: readonly string[] = [...kinds.keys()]

/**
 * The check of an instruction of IFEval. No blank response follows any.
 *
 * @throws InstructionProblem where there is no such kind, or its arguments are not as it takes them
 */
export function readInstruction(id: string, values: ReadonlyMap<string, unknown>): Check {
  const read = kinds.get(id)
  if (!read) throw new InstructionProblem(`there is no instruction ${JSON.stringify(id)}`)
  const check = read(new Arguments(values))
  return (response) => strip(response) !== '' && check(response)
}

/** The responses of which one has to follow an instruction for it to count as followed loosely. */
export function looseVariants(response: string): string[] {
  const lines = response.split('\n')
  const plain = [
    response,
    ...[lines.slice(1), lines.slice(0, -1), lines.slice(1, -1)].map((part) => strip(part.join('\n'))),
  ]
  return [...plain, ...plain.map((text) => text.replaceAll('*', ''))]
}
