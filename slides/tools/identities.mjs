// A pod has the same number on all slides: figures.json says which.

/** Numbers of pods begin here (1 is the node, 2 the world); Cilium's in the talk's cluster have six digits. */
const [FIRST, LAST] = [256, 269]

/** What the lines of a slide say otherwise than the table `pods` (by pod) and `labels` (by labels). */
export function identities(lines, { pods, labels }) {
  const wrong = []
  const is = (what, number, right) => {
    if (right === undefined)
      wrong.push(`figures.json has no identity of ${what}`)
    else if (Number(number) !== right)
      wrong.push(`${what} is ${number}, and ${right} elsewhere (figures.json)`)
  }
  const known = [0, ...Object.values(pods)]
  const ofPods = n => n >= FIRST && n <= LAST
  for (const line of lines) {
    for (const [, pod, number] of line.matchAll(/default\/([\w-]+)\b(?:(?!default\/|→).)*?\b(\d{3})\b(?!\.)/g))
      ofPods(number) && is(pod, number, pods[pod])
    for (const [, number, set] of line.matchAll(/\b(\d{3}):?(?: [\d.]{7,15})? ((?:\w+=\w+,?)+)/g))
      ofPods(number) && is(set, number, labels[set])
    for (const [pair, ...both] of line.matchAll(/\((\d+), ?(\d+)\)/g)) {
      const numbers = both.map(Number)
      if (numbers.some(ofPods) && !(numbers.every(n => known.includes(n)) && numbers.some(n => n === 0 || n === pods.backend)))
        wrong.push(`the pair ${pair} is none of frontend and backend (figures.json)`)
    }
    for (const [number] of line.matchAll(/(?<![\d.:x])\d{3}(?![\d.:x])/g))
      ofPods(number) && !known.includes(Number(number)) && wrong.push(`${number} is nobody's identity (figures.json)`)
  }
  return [...new Set(wrong)]
}
