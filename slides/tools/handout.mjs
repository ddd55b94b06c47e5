// The course on paper, three slides a page with their notes: target/slides/handout.pdf.
import { readFile, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { PDFDocument } from 'pdf-lib'
import { ALL, HEIGHT, WIDTH, source } from './deck.mjs'
import { finish, inline, paper } from './paper.mjs'

const A_PAGE = 3
/** Millimetres: the page's edge, a row, a slide in it. */
const [EDGE, ROW, WIDE] = [12, 91, 100]
const POINTS = 72 / 25.4

const paragraph = text => (text.startsWith('### ') ? `<h3>${inline(text.slice(4))}</h3>` : `<p>${inline(text).replaceAll('\n', '<br>')}</p>`)
const note = text => text.replace(/\[click(:\d+)?\] ?/g, '').replace(/^(### .*)\n+/gm, '\n$1\n\n').split(/\n{2,}/).filter(Boolean).map(it => paragraph(it.trim())).join('')

const slides = await source('course')
const pages = []
for (let first = 0; first < slides.length; first += A_PAGE) {
  const rows = slides.slice(first, first + A_PAGE).map((slide, i) => `<div class="row"><div class="slide"></div><div class="fit"><b>${first + i + 1}</b>${note(slide.note ?? '')}</div></div>`)
  pages.push(`<section>${rows.join('')}</section>`)
}
const style = `
section { height: 297mm; padding: ${EDGE}mm; break-after: page }
section:last-of-type { break-after: auto }
.row { height: ${ROW}mm; display: flex; gap: 6mm; padding-top: 2mm; border-top: 0.3mm solid #b8c2cf }
.slide { flex: none; width: ${WIDE}mm }
.fit { flex: 1; height: ${ROW - 6}mm; line-height: 1.5; overflow-wrap: anywhere }
.fit p { margin: 0 0 1.5mm }
.fit h3 { margin: 2.5mm 0 1mm; font-size: 1em; color: #566172 }
.fit b { float: right; margin-left: 3mm; color: #566172 }`
const { pdf, problems } = await paper('handout', { style, body: pages.join('\n'), sizes: [9, 6.5] })

// The slides themselves, as they are in the deck's PDF: lines, not pictures of lines.
const handout = await PDFDocument.load(pdf)
const pictures = await handout.embedPdf(await readFile(join(ALL, 'course.pdf')), slides.map((_, i) => i))
const width = WIDE * POINTS
const height = width * HEIGHT / WIDTH
for (const [i, picture] of pictures.entries()) {
  const page = handout.getPage(Math.floor(i / A_PAGE))
  const top = (EDGE + (i % A_PAGE) * ROW + 3) * POINTS
  const at = { x: EDGE * POINTS, y: page.getHeight() - top - height, width, height }
  page.drawPage(picture, at)
  page.drawRectangle({ ...at, borderWidth: 0.5, opacity: 0 })
}
const file = join(ALL, 'handout.pdf')
await writeFile(file, await handout.save())
finish(file, handout.getPageCount(), problems)
