// The PDF of a cut: one page for each slide, after its last click.
import { join } from 'node:path'
import { wanted } from './cut.mjs'
import { ALL, HEIGHT, WIDTH, open, source } from './deck.mjs'

const file = join(ALL, `${wanted()}.pdf`)

const total = (await source()).length
const deck = await open()
await deck.print(total)
await deck.page.pdf({
  path: file, width: `${WIDTH}px`, height: `${HEIGHT}px`, printBackground: true, preferCSSPageSize: true,
  margin: { top: 0, right: 0, bottom: 0, left: 0 },
})
await deck.close()
if (deck.problems.length) {
  console.error(deck.problems.join('\n'))
  process.exit(1)
}
console.log(`${file}: ${total} pages`)
