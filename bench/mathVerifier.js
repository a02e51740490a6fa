// Verified pairs a second on one processor: pairs by kind, and long completions that end in a box.
//   node bench/mathVerifier.js [seconds for each kind]
import { verifyMath } from '../dist/grading/math/verify.js'

const r = String.raw
const seconds = Number(process.argv[2] ?? 1)
if (!(seconds > 0)) throw new Error(`Expected a positive number of seconds but received ${process.argv[2]}`)

const thought = 'Let us check the next case, where $x_1 + x_2 = 5$ and the product is $\\frac{3}{4}$ of it. '

/** @type {[string, [string, string][]][]} */
const kinds = [
  [
    'integers',
    [
      ['204', r`\boxed{204}`],
      ['25', r`\boxed{025}`],
      ['1234', '1,234'],
      ['7', '8'],
    ],
  ],
  [
    'fractions and roots',
    [
      [r`\frac{1}{2}`, '0.5'],
      [r`\frac{\sqrt{2}}{2}`, r`\frac{1}{\sqrt{2}}`],
      [r`2\sqrt{2}`, r`\sqrt{8}`],
      [r`\frac{2}{3}`, '0.67'],
    ],
  ],
  [
    'constants by value',
    [
      [r`\cos 36^\circ`, r`\frac{1+\sqrt{5}}{4}`],
      [r`\ln 4`, r`2\ln 2`],
      [r`\sqrt{3+2\sqrt{2}}`, r`1+\sqrt{2}`],
    ],
  ],
  [
    'polynomials',
    [
      ['x^2+2x+1', '(x+1)^2'],
      ['5(x+2)(x-3)', '5x^2-5x-30'],
      ['x^2+x', 'x^2-x'],
    ],
  ],
  [
    'expressions by probing',
    [
      [r`\sin 2x`, r`2\sin x\cos x`],
      [r`2^{n+1}`, r`2 \cdot 2^n`],
      [r`\sqrt{x^2}`, 'x'],
    ],
  ],
  [
    'sets, points and intervals',
    [
      [r`\{1,2,3\}`, '3, 2, 1'],
      ['(1,2)', 'x=1, y=2'],
      [r`(2,\infty)`, 'x > 2'],
      [r`\pm 3`, '3, -3'],
    ],
  ],
  [
    'equations and matrices',
    [
      ['y=2x+3', '2x-y+3=0'],
      [r`\begin{pmatrix}1&2\\3&4\end{pmatrix}`, r`\begin{bmatrix}1&2\\3&4\end{bmatrix}`],
    ],
  ],
  ['completions of 100,000 characters', [['5', `${thought.repeat(1100)}\n$\\boxed{5}$`]]],
]

for (const [kind, pairs] of kinds) {
  for (let i = 0; i < 50; i++) for (const [gold, answer] of pairs) await verifyMath(gold, answer)
  let count = 0
  let slowest = 0
  const before = process.cpuUsage()
  const spent = () => {
    const { user, system } = process.cpuUsage(before)
    return (user + system) / 1e6
  }
  while (spent() < seconds) {
    for (const [gold, answer] of pairs) {
      const start = performance.now()
      await verifyMath(gold, answer)
      slowest = Math.max(slowest, performance.now() - start)
      count++
    }
  }
  const rate = count / spent()
  console.log(
    `${kind}: ${Math.round(rate)} pairs/s, ${(1e3 / rate).toFixed(3)} ms a pair, slowest ${slowest.toFixed(1)} ms`,
  )
}
