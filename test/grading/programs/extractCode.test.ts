import { expect, test } from 'vitest'
import { defines, extractCode, isProgram, type Requirement } from '../../../lib/grading/programs/extractCode.js'
import { sandboxOfFile } from '../../support/sandbox.js'

const runner = await sandboxOfFile()

const program = 'n = int(input())\nprint(n * 2)'
const solution = 'class Solution:\n    def double(self, n):\n        return n * 2'
const fenced = (language: string, code: string, fence = '```') => `${fence}${language}\n${code}\n${fence}\n`

const cases: [name: string, answer: string, requirement: Requirement, code: string | null, rule: string][] = [
  ['one block', `So:\n${fenced('python', program)}`, isProgram, program, 'last python block'],
  [
    'the last of two',
    fenced('python', 'print(1)') + fenced('python', program),
    isProgram,
    program,
    'last python block',
  ],
  [
    'a block of output after the code',
    `${fenced('python', program)}Output:\n${fenced('', '2\n4')}`,
    isProgram,
    program,
    'last python block',
  ],
  [
    'output that is tagged as Python',
    `${fenced('python', program)}Output:\n${fenced('python', '2\n4')}`,
    isProgram,
    program,
    'last python block',
  ],
  [
    'an explanation in another language after it',
    fenced('python', program) + fenced('cpp', 'int main() {}\n//'),
    isProgram,
    program,
    'last python block',
  ],
  [
    'a later draft with a wrong syntax',
    fenced('python', program) + fenced('python', 'for:\n  x('),
    isProgram,
    program,
    'last python block',
  ],
  ['no language', fenced('', program), isProgram, program, 'last block that compiles'],
  [
    'no language, then output',
    `${fenced('', program)}prints\n${fenced('', 'YES\nNO')}`,
    isProgram,
    program,
    'last block that compiles',
  ],
  ['one line without a language', fenced('', 'print(1)'), isProgram, null, 'no program'],
  ['one line of Python', fenced('python', 'print(1)'), isProgram, 'print(1)', 'last python block'],
  ['not closed', `\`\`\`python\n${program}`, isProgram, program, 'last python block, not closed'],
  [
    'not closed before the next',
    `\`\`\`python\nprint(0)\nI made a mistake:\n${fenced('python', program)}`,
    isProgram,
    program,
    'last python block',
  ],
  ['in a Markdown block', fenced('markdown', fenced('python', program)), isProgram, program, 'last python block'],
  [
    'in a longer Markdown block',
    fenced('markdown', fenced('python', program), '````'),
    isProgram,
    program,
    'last python block',
  ],
  [
    'fences in a docstring',
    fenced('python', `"""\n\`\`\`python\nf()\n\`\`\`\n"""\n${program}`),
    isProgram,
    `"""\n\`\`\`python\nf()\n\`\`\`\n"""\n${program}`,
    'last python block',
  ],
  ['tags', `<answer>\n${fenced('python', program)}</answer>`, isProgram, program, 'last python block'],
  ['tags beside fences', `<answer>\`\`\`python\n${program}\n\`\`\`</answer>`, isProgram, program, 'last python block'],
  ['tildes and CRLF', fenced('py', program, '~~~').replaceAll('\n', '\r\n'), isProgram, program, 'last python block'],
  [
    'the block that defines the method',
    fenced('python', solution) + fenced('python', 'print(Solution().double(2))'),
    defines('Solution.double', 'double'),
    solution,
    'last python block',
  ],
  [
    'a function in place of the method',
    fenced('python', 'def double(n):\n  return 2 * n'),
    defines('Solution.double', 'double'),
    'def double(n):\n  return 2 * n',
    'last python block',
  ],
  [
    'a method of another class',
    fenced('python', solution.replace('Solution', 'Other')),
    defines('Solution.double', 'double'),
    solution.replace('Solution', 'Other'),
    'no block fits',
  ],
  ['code that never compiles', fenced('python', 'print(1'), isProgram, 'print(1', 'no block fits'],
  ['no code', 'The answer is 7.', isProgram, null, 'no fenced block'],
  ['empty blocks', fenced('python', '') + fenced('python', '  '), isProgram, null, 'no program'],
]

test.each(cases)('%s', async (_, answer, requirement, code, rule) => {
  const taken = await extractCode(answer, runner, requirement)
  expect({ code: taken.code, rule: taken.rule }).toEqual({ code, rule })
})

test('it says why no block fits', async () => {
  const method = defines('Solution.double', 'double')
  expect(await extractCode(fenced('python', 'def twice(n):\n  return n'), runner, method)).toMatchObject({
    problem: 'it does not define Solution.double or double',
  })
  expect((await extractCode(fenced('python', 'print(1'), runner, isProgram)).problem).toMatch(/SyntaxError/)
})

test('a loop of blocks is not compiled for ever', async () => {
  let compiled = 0
  const counting = {
    ...runner,
    outline: () => {
      compiled++
      return Promise.resolve({ compiles: false, names: [] })
    },
  }
  const taken = await extractCode(fenced('python', 'x(').repeat(5000), counting, isProgram)
  expect(taken.rule).toBe('no block fits')
  expect(compiled).toBe(40)
})
