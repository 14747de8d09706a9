"""Chinese texts of requests about declared types."""

from __future__ import annotations

from erniekit_adapter.documents.declared.prompt_texts import Given, PromptTexts, VerdictFacts


def _verdict(facts: VerdictFacts) -> str:
    keys = facts.keys
    found = ["规则所需的数值缺失时，该规则不检查，也不算问题。每个问题写作“规则名: 对比的数值”。"]
    if facts.warnings:
        found.append(f"以下规则仅为警告，写在最后：{'、'.join(facts.warnings)}。")
    if facts.has_errors:
        none = "其他规则均未检查" if facts.warnings else "没有规则可检查"
        unchecked = f"{'或'.join(facts.decisive)}未检查" if facts.decisive else none
        other = "有警告以外的问题" if facts.warnings else "有问题"
        found.append(f"{keys.is_valid}：{other}时为 false，{unchecked}时为 null，否则为 true。")
    else:
        found.append(f"{keys.is_valid}：null。")
    if facts.arithmetic:
        unchecked = f"{'或'.join(facts.sums)}未检查时为 null，否则为 true" if facts.sums else "否则为 null"
        found.append(f"{keys.math_verified}：违反{'或'.join(facts.arithmetic)}时为 false，{unchecked}。")
    else:
        found.append(f"{keys.math_verified}：null。")
    return "".join(found)


CHINESE = PromptTexts(
    analysis=(
        (
            "请读取这份{title}。{given}{regions}{checks}页面上没有的内容不要填写。{notation}{codes}"
            "请严格按照以下结构以 JSON 回答：\n{structure}",
            Given(
                "请校正 OCR 数据，并补全 OCR 遗漏的内容。",
                "请对照图像校正 OCR 数据，并补全 OCR 遗漏的内容。",
                "请阅读图像。",
            ),
        ),
        (
            "{given}{regions}页面上没有的内容一律省略。{notation}{codes}{checks}"
            "请为这份{title}返回以下结构的 JSON：\n{structure}",
            Given(
                "请整理一页单据的 OCR 数据：改正错误，补上 OCR 漏读的内容。",
                "请整理一页单据的 OCR 数据：对照图像改正错误，补上 OCR 漏读的内容。",
                "请根据图像整理一页单据的数据。",
            ),
        ),
        (
            "请为这份{title}填写以下 JSON 结构，不要输出其他内容：\n{structure}\n"
            "{given}页面未显示的内容请省略。{notation}{codes}{regions}{checks}",
            Given(
                "其 OCR 数据可能有误或不完整，请改正并补全。",
                "其 OCR 数据可能有误或不完整，请对照图像改正并补全。",
                "请阅读图像。",
            ),
        ),
        (
            "{title}分析。{given}{regions}{checks}只填写页面上的内容。{notation}{codes}JSON 结构如下：\n{structure}",
            Given("改正 OCR 数据，补全缺失内容。", "对照图像改正 OCR 数据，补全缺失内容。", "阅读图像。"),
        ),
    ),
    extraction=(
        (
            "请提取这份{title}的内容。{given}{regions}所有数值均按页面原样填写，即使合计不符也不要判断或重新计算。"
            "页面上没有的内容不要填写。{notation}{codes}请严格按照以下结构以 JSON 回答：\n{structure}",
            Given("请阅读 OCR 数据并改正误读。", "请阅读图像，OCR 数据仅在与图像一致时采用。", "请阅读图像。"),
        ),
        (
            "{given}{regions}数值即使有误也照抄，不要自行计算。页面上没有的内容一律省略。{notation}{codes}"
            "请为这份{title}返回以下结构的 JSON：\n{structure}",
            Given(
                "请抄录这份 OCR 数据对应页面的内容，去除 OCR 的错误。",
                "请抄录图像的内容，OCR 数据可作参考，但有错误。",
                "请抄录图像的内容。",
            ),
        ),
        (
            "请为这份{title}填写以下 JSON 结构，不要输出其他内容：\n{structure}\n"
            "{given}页面未显示的内容请省略，显示的内容无论对错都保留：不核对，不自行求和。{notation}{codes}{regions}",
            Given("数值在其 OCR 数据中，请还原误读。", "数值在其图像中，OCR 数据可能误读。", "数值在其图像中。"),
        ),
        (
            "{title}提取。{given}{regions}只填写页面上的内容，照原样，不判断，不计算。{notation}{codes}"
            "JSON 结构如下：\n{structure}",
            Given("来源：OCR 数据，去除误读。", "来源：图像，OCR 数据仅供参考，可能误读。", "来源：图像。"),
        ),
    ),
    validation=(
        "以下{title}数据违反了哪些规则？请按数据原样判断，不要改正。规则如下：{rules}{verdict}"
        "请严格按照以下结构以 JSON 回答：\n{structure}",
        "请检查一份{title}的数据，不要改动数据。各条规则及其名称：{rules}{verdict}请返回以下结构的 JSON：\n{structure}",
        "请根据给出的{title}数据填写以下 JSON 结构，不要输出其他内容：\n{structure}\n"
        "规则：{rules}{verdict}数据保持原样。",
        "{title}校验，数据保持原样。{rules}{verdict}JSON 结构如下：\n{structure}",
    ),
    data_mark="单据数据:",
    regions="请找到以下部分：{names}。",
    code="{path} 的取值为以下之一：{values}。",
    checks="请检查以下规则。{rules}结果为 true 或 false，数值缺失时为 null。",
    rule="{name}：{sentence}",
    notation="{parts}。",
    separator="、",
    kinds={
        "amount": "金额写成数字",
        "quantity": "数量写成数字",
        "rate": "税率写成小数（0.13）",
        "date": "日期写成 YYYY-MM-DD",
        "currency": "币种写成 ISO 4217 代码",
        "flag": "是否类字段写成 true 或 false",
    },
    text_numbers='数值写成文本，例如 "1234.50"',
    some_text_numbers='{names} 写成文本，例如 "1234.50"',
    percent="税率写成百分数（13% 写成 13）",
    some_percent="{names} 写成百分数（13% 写成 13）",
    verdict=_verdict,
)
