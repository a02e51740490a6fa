import { describe, expect, test } from 'vitest'
import { instructionKinds, looseVariants, readInstruction } from '../../lib/grading/instructions/instructions.js'
import { capitalWords, isLower, isUpper } from '../../lib/grading/instructions/letterCase.js'
import { countSentences } from '../../lib/grading/instructions/sentences.js'
import { growth, proportional } from '../support/growth.js'

const follows = (id: string, values: Record<string, unknown>, response: string) =>
  readInstruction(id, new Map(Object.entries(values)))(response)

const english = 'The quick brown fox jumps over the lazy dog, and then it goes home to sleep for the whole afternoon.'

/** Kind, arguments, responses that follow it, responses that do not. */
const table: [id: string, values: Record<string, unknown>, followed: string[], broken: string[]][] = [
  ['keywords:existence', { keywords: ['fox', 'Dog'] }, ['A FOX and a dog.', 'foxes, dogs'], ['A fox.', 'cat']],
  ['keywords:existence', { keywords: ['c++'] }, ['I know C++.'], ['I know C.']],
  ['keywords:existence', { keywords: ['a.c'] }, ['abc'], ['a\nc']],
  ['keywords:frequency', { keyword: ' fox ', frequency: 2, relation: 'at least' }, ['Fox, foxes'], ['fox']],
  ['keywords:frequency', { keyword: 'fox', frequency: 2n, relation: 'less than' }, ['fox'], ['fox fox']],
  ['keywords:forbidden_words', { forbidden_words: ['cat', 'жук'] }, ['concatenate', 'жуки'], ['A Cat.', 'Это жук.']],
  ['keywords:letter_frequency', { letter: 'Q', let_frequency: 2, let_relation: 'at least' }, ['qQ'], ['q']],
  ['keywords:letter_frequency', { letter: '#', let_frequency: 1, let_relation: 'less than' }, ['abc'], ['a#']],
  [
    'language:response_language',
    { language: 'de' },
    ['Alle Menschen sind frei und gleich an Würde und Rechten geboren.', '123 !'],
    [english],
  ],
  [
    'length_constraints:number_sentences',
    { num_sentences: 3, relation: 'at least' },
    ['One. Two! Three?', 'one. two. three.'],
    ['One. Two by Dr. Smith.'],
  ],
  ['length_constraints:number_sentences', { num_sentences: 2, relation: 'less than' }, ['One\ntwo'], ['One. Two.']],
  [
    'length_constraints:number_paragraphs',
    { num_paragraphs: 2 },
    ['a\n***\nb', '***\na\n***\nb\n***'],
    ['a', 'a\n***\n***\nb', 'a *** b *** c'],
  ],
  [
    'length_constraints:number_words',
    { num_words: 3, relation: 'at least' },
    ['one two-three', 'это три слова'],
    ['one two!'],
  ],
  [
    'length_constraints:nth_paragraph_first_word',
    { num_paragraphs: 2, nth_paragraph: 2, first_word: 'Weekend' },
    ['a\n\nweekend, b', 'a\n\n\'"Weekend" b'],
    ['weekend\n\na', 'a\n\nb\n\nweekend', 'a\n\n\n\nweekend', 'a\n\n"\'Weekend'],
  ],
  ['detectable_content:number_placeholders', { num_placeholders: 2 }, ['[a] and [b]', '[][]'], ['[a]', '[a\nb] [c]']],
  ['detectable_content:postscript', { postscript_marker: 'P.S.' }, ['Text\np. s. more', 'P.S. x'], ['PS x']],
  ['detectable_content:postscript', { postscript_marker: 'P.P.S' }, ['a P.P.S x', 'p. p. s'], ['P.S. x']],
  ['detectable_content:postscript', { postscript_marker: 'Note:' }, ['a\nnote: b'], ['no']],
  [
    'detectable_format:number_bullet_lists',
    { num_bullets: 2 },
    ['* a\n* b', '- a\n  * b\n**no**', '\n\n- a\n\n\n* b'],
    ['* a', '* a\n- b\n- c', 'a * b\n* c'],
  ],
  ['detectable_format:number_bullet_lists', { num_bullets: 1 }, ['*\n* a'], ['**a**', '*']],
  [
    'detectable_format:constrained_response',
    {},
    ['My answer is yes.', ' I think. My answer is maybe. '],
    ['my answer is yes.', 'My answer is yes'],
  ],
  [
    'detectable_format:number_highlighted_sections',
    { num_highlights: 2 },
    ['*a* and *b*', '**a** and **b**'],
    ['*a*', '*a\nb* *c', '* * ** **'],
  ],
  [
    'detectable_format:multiple_sections',
    { section_spliter: 'Section', num_sections: 2 },
    ['Section 1\na\nSection 2\nb', 'Section1 Section2'],
    ['Section 1\na', 'Section A Section B', 'Section 1\na\nsection 2\nb', 'SECTION 1 SECTION 2'],
  ],
  [
    'detectable_format:json_format',
    {},
    ['{"a": [1, NaN]}', '```json\n{"a": "NaN \\" Infinity"}\n```', '```\n3\n```', '[-Infinity]'],
    ["{'a': 1}", 'Here: {"a": 1}', '{"a": nan}', '```json\n{"a": 1\n```'],
  ],
  ['detectable_format:title', {}, ['<<Joy>>', 'a <<x>> b'], ['<<>>', '<< >>', '<Joy>', '<<a\nb>>']],
  [
    'combination:two_responses',
    {},
    ['a\n******\nb', '******a******b******'],
    ['a******a', 'a', 'a****** ******b', 'a******b******c'],
  ],
  [
    'combination:repeat_prompt',
    { prompt_to_repeat: ' Write a poem. ' },
    [' write a poem. Here it is.'],
    ['Here: write a poem.'],
  ],
  [
    'startend:end_checker',
    { end_phrase: 'Any other questions?' },
    ['Yes. any other questions? ', '"Any other questions?"'],
    ['Any other questions? Ask.'],
  ],
  [
    'change_case:capital_word_frequency',
    { capital_frequency: 2, capital_relation: 'at least' },
    ["I'M", 'A BIG-DEAL', 'IT’S', 'R&D', '(NASA, USA)'],
    ['NASA and more', 'AtLeast ONE'],
  ],
  ['change_case:english_capital', {}, [english.toUpperCase()], [english, '123']],
  [
    'change_case:english_lowercase',
    {},
    [english.toLowerCase()],
    [english, 'ein haus steht auf dem berg und wir gehen dorthin'],
  ],
  ['punctuation:no_comma', {}, ['a; b，c'], ['a, b']],
  ['startend:quotation', {}, [' "a" '], ['"a', '"', '“a”']],
]

describe('instructions', () => {
  test.each(table)('%s %o', (id, values, followed, broken) => {
    for (const response of followed) expect([response, follows(id, values, response)]).toEqual([response, true])
    for (const response of broken) expect([response, follows(id, values, response)]).toEqual([response, false])
    for (const response of ['', ' \n\t']) expect(follows(id, values, response)).toBe(false)
  })

  test('all 25 kinds are in the table', () => {
    expect(instructionKinds).toHaveLength(25)
    expect(new Set(table.map(([id]) => id))).toEqual(new Set(instructionKinds))
  })

  test.each([
    ['keywords:unknown', {}, 'there is no instruction "keywords:unknown"'],
    ['keywords:existence', {}, 'expected a list of texts for keywords'],
    ['keywords:frequency', { keyword: 'a', frequency: 1, relation: 'exactly' }, 'expected "less than" or "at least"'],
    ['length_constraints:number_words', { num_words: -1, relation: 'at least' }, 'expected a number for num_words'],
    ['language:response_language', { language: 'xx' }, 'for language'],
  ])('%s %j is refused', (id, values, problem) => {
    expect(() => readInstruction(id, new Map(Object.entries(values)))).toThrow(problem)
  })

  const hostile = ['[', '*', '**', '<<', '\n', '***', ' ', '"', '```', '. ', "'", 'a.', '-\n', '******', 'Section ']
  test.each(hostile)('many times %j take time in proportion', async (part) => {
    const checks = table
      .filter(([id]) => !/language|english/.test(id))
      .map(([id, values]) => readInstruction(id, new Map(Object.entries(values))))
    const all = (size: number) => {
      const response = part.repeat(size)
      for (const check of checks) check(response)
    }
    expect(await growth(all, 4000)).toBeLessThan(proportional)
  })
})

test('variants for loose grading', () => {
  expect(looseVariants('*a*\nb\n*c*')).toEqual(['*a*\nb\n*c*', 'b\n*c*', '*a*\nb', 'b', 'a\nb\nc', 'b\nc', 'a\nb', 'b'])
})

test.each([
  ['Hello there. How are you? Fine!', 3],
  ['Mr. Smith met Dr. Jones at 5 p.m. today.', 1],
  ['I live in the U.S. The weather is fine.', 2],
  ['J. R. R. Tolkien wrote it.', 1],
  ['It costs 3.50 dollars. Cheap.', 2],
  ['One\ntwo\nthree', 1],
  ['One.\nTwo.\n\nThree.', 3],
  ['He said "Stop." Then he left.', 2],
  ['(It is so.) And so on.', 2],
  ['Well... maybe not. Yes.', 2],
  ['Well... The end.', 2],
  ['Use e.g. this one.', 1],
  ['Wow!! Really?! Yes.', 3],
  ['No end', 1],
  ['', 0],
])('%j has %i sentences', (text, count) => {
  expect(countSentences(text)).toBe(count)
})

test.each([
  ["I'M HERE", 3],
  ['IT’S A B', 4],
  ['WELL-KNOWN', 1],
  ["DON'T", 2],
  ['CANNOT', 2],
  ['U.S.A.', 1],
  ['**BOLD**', 1],
  ['A1 1A 123', 2],
  ['10:30 A:B', 2],
  ['Once', 0],
])('%j has %i words in capitals', (text, count) => {
  expect(capitalWords(text)).toBe(count)
})

test('case as Python has it', () => {
  expect(['ABC 1', 'É', 'Aa', 'ǅ', '1'].map(isUpper)).toEqual([true, true, false, false, false])
  expect(['abc 1', 'é', 'aA', 'ª', '1'].map(isLower)).toEqual([true, true, false, true, false])
})
