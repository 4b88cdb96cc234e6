-- What students know from Quarto, for the route without it (never run by Quarto itself; before subset.lua).
--
-- Made here from plain Pandoc: blocks side by side (layout-ncol), captions of the parts of a figure, a captioned figure
-- without a label, data frames of pandas. What cannot be had on this route is an error that names the construct and the
-- way out; `document.py` adds the line.

local stringify = pandoc.utils.stringify
local typst = FORMAT:match("typst") ~= nil

local WITH_QUARTO = "or install Quarto (1.9 or later)"
local CLASSES = { -- class -> what it is, what to do instead
  ["panel-tabset"] = { "tabs", "put the parts one below the other, each under a heading" },
  ["column-margin"] = { "a margin note", "write a footnote" }, ["aside"] = { "a margin note", "write a footnote" },
  ["column-page"] = { "a wide column", "leave it in the text's width" }, ["column-screen"] = { "a wide column", "leave it in the text's width" },
  ["column-body"] = { "a wide column", "leave it in the text's width" }, ["columns"] = { "columns", "use layout-ncol" },
  ["lightbox"] = { "a lightbox", "leave it out" }, ["incremental"] = { "a slide's list", "leave it out" },
}
local THEOREMS = { thm = true, lem = true, cor = true, prp = true, cnj = true, def = true, exm = true, exr = true, sol = true, rem = true, alg = true }

local function fail(message, token) error(message .. (token and " ⟨" .. token .. "⟩" or ""), 0) end
local function rawb(text) return pandoc.RawBlock(typst and "typst" or "html", text) end

local function raw_tex(block)
  if block.format ~= "tex" and block.format ~= "latex" then return nil end
  local first = block.text:match("[^\n]+") or ""
  for _, definition in ipairs { "newcommand", "renewcommand", "providecommand", "DeclareMathOperator", "def" } do -- read by Pandoc
    if first:match("^\\" .. definition .. "%f[%A]") then return nil end
  end
  fail("raw LaTeX (" .. first:sub(1, 40) .. ") shows nothing in HTML and Typst; write Markdown, or $$…$$ with an environment such as aligned in it", first)
end

local function known(element)
  for _, class in ipairs(element.classes) do
    local what = CLASSES[class] or (class:match("^column%-") and CLASSES["column-page"])
    if what then fail("the class ." .. class .. " is outside the subset (" .. what[1] .. "); " .. what[2] .. ", " .. WITH_QUARTO, class) end
  end
  local kind = element.identifier:match("^(%a+)%-")
  if THEOREMS[kind] then
    fail("the label #" .. element.identifier .. " makes a theorem, which is outside the subset; write a callout with a title, " .. WITH_QUARTO, "#" .. element.identifier)
  end
  for _, name in ipairs { "layout", "layout-nrow" } do
    if element.attributes[name] then fail("the attribute " .. name .. " is outside the subset; use layout-ncol, " .. WITH_QUARTO, name .. "=") end
  end
end

local function frame(div) -- what pandas gives, without its style
  local tables = pandoc.Blocks {}
  for _, raw in ipairs(div.content) do
    for _, block in ipairs(pandoc.read(raw.text, "html").blocks) do
      if block.t == "Table" then
        block.attr = pandoc.Attr()
        for _, row in ipairs(block.head.rows) do row.attr = pandoc.Attr() end
        tables:insert(block:walk { Str = function(str)
          return pandoc.Str((str.text:gsub("^(-?%d+)%.(%d+)$", "%1٫%2")))
        end })
      end
    end
  end
  return tables
end

-- An image and its caption, without a number. The comment keeps persian.lua from looking for «شکل ۱:» in it.
local function captioned(figure)
  local image = pandoc.Plain(pandoc.utils.blocks_to_inlines(figure.content))
  local text = pandoc.Plain(pandoc.utils.blocks_to_inlines(figure.caption.long))
  if typst then
    return { rawb("#block(width: 100%, breakable: false)[#set align(center)"), image,
      rawb("#block(width: 92%, above: .6em)[#set text(size: 9pt)\n#set par(justify: false)"), text, rawb("]]") }
  end
  return { rawb('<figure class="captioned">'), image, rawb("<!-- --><figcaption>"), text, rawb("</figcaption></figure>") }
end

local function is_image(block) return (block.t == "Para" or block.t == "Plain") and #block.content > 0 and block.content[1].t == "Image" end

-- The things that stand side by side: each block, each of the images of a paragraph of images.
local function cells(blocks)
  local out = {}
  for _, block in ipairs(blocks) do
    local images = is_image(block) and block.content:filter(function(inline) return inline.t == "Image" end) or {}
    if #images > 1 then
      for _, image in ipairs(images) do
        out[#out + 1] = pandoc.Figure({ pandoc.Plain { image } }, pandoc.Caption({ pandoc.Plain(image.caption) }))
      end
    else
      out[#out + 1] = block
    end
  end
  return out
end

local function side_by_side(blocks, columns)
  local out = pandoc.Blocks { rawb(typst and "#grid(columns: (1fr,) * " .. columns .. ", gutter: 1em, [" or '<div class="layout" style="--columns: ' .. columns .. '">') }
  for index, cell in ipairs(blocks) do
    if typst then
      if index > 1 then out:insert(rawb("], [")) end
      out:extend(cell)
    else
      out:insert(pandoc.Div(cell))
    end
  end
  out:insert(rawb(typst and "])" or "</div>"))
  return out
end

local function is_captioned(block) return block.t == "Figure" and block.identifier == "" and #stringify(block.caption.long) > 0 end

local function laid_out(div)
  local columns = div.attributes["layout-ncol"]
  local float = div.identifier:match("^fig%-") ~= nil
  if not columns and not float then return nil end
  if columns and not columns:match("^[1-9]$") then fail("layout-ncol must be a number from 1 to 9, not " .. columns, "layout-ncol") end
  div.attributes["layout-ncol"] = nil
  local caption = float and div.content[#div.content]
  if float then div.content:remove(#div.content) end
  local parts = cells(div.content)
  for index, part in ipairs(parts) do
    if float and part.identifier and part.identifier:match("^fig%-") then
      fail("a label in a figure (#" .. part.identifier .. ") is outside the subset; refer to the whole figure, " .. WITH_QUARTO, "#" .. part.identifier)
    end
    parts[index] = is_captioned(part) and captioned(part) or { part }
  end
  local body = pandoc.Blocks {}
  if columns then body = side_by_side(parts, columns) else for _, part in ipairs(parts) do body:extend(part) end end
  if not float then return body end
  div.content = body
  div.content:insert(caption)
  return div
end

function Pandoc(doc)
  doc = doc:walk { RawBlock = raw_tex, RawInline = raw_tex }
  doc = doc:walk { Div = function(div) return div.classes:includes("dataframe") and frame(div) or known(div) end, Span = known }
  doc = doc:walk { Div = laid_out }
  return doc:walk { Figure = function(figure) return is_captioned(figure) and captioned(figure) or nil end }
end
