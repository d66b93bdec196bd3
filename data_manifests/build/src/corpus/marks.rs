//! The word lists that names are read with, each one text with spaces between its words.

/// Whether a list has a word.
pub fn has(list: &str, word: &str) -> bool {
    list.split_ascii_whitespace().any(|w| w == word)
}

/// Last words that tell a variant in every set.
pub const STYLES: &str = "\
    outline outlined fill filled solid regular duotone twotone linear sharp rounded baseline glyph o alt variant";

/// Words that tell a variant in some set: taken off where names are compared with those of emoji.
pub const MORE_STYLES: &str = "\
    line bold light thin flat remix duo broken round negative badged alerted stroked circle square color colored one \
    two three four b c tone";

/// Words after which a number belongs to the name.
pub const COUNTED: &str = "\
    number numeric roman dice die counter level battery heading filter h timer rotate forward backward rewind replay \
    zodiac beaufort";

/// Shapes that enclose an icon: they go before anything else does.
pub const SHAPES: &str = "\
    circle circled circular square squared round rounded rectangle rectangular octagon hexagon pentagon diamond oval";

/// Words that never name what a picture shows while another word is there: directions, places, numbers, degrees, marks
/// laid over an icon, and joining words.
pub const MARKS: &str = "\
    left right up down top bottom upper lower upward downward north south east west horizontal vertical start end \
    forward backward back ltr rtl center middle clockwise counterclockwise in out inside outside one two three four \
    five six seven eight nine ten first second half full quarter plus minus off on add remove delete check checked \
    checkmark tick x cross close closed open cancel slash disabled enabled alert error warning question exclamation \
    info edit multiple small medium large big mini badge new sign symbol icon interface the of and or with without \
    to from for by at a an no not all dot dots dashed dotted double single simple ai minimalistic high low essential \
    mode mirrored fast front empty more alt auto equal local abstract color style type hot cold smart electric happy \
    sad essentials mobiledata variant basic common";

/// Names of firms and their products, whose marks are not used.
pub const BRANDS: &str = "\
    500px adobe airbnb airtable algolia alibaba alienware alipay aliyun amazon amd amex android angellist angular \
    angularjs ansible anthropic apache applemusic applenews applepay appstore archlinux asana atari atlassian audi \
    aws azure baidu bandcamp basecamp bbc bebo behance bilibili bing bitbucket bitcoin bittorrent blackberry blender \
    blogger bluesky bmw bootstrap brave canva cashapp castbox chatgpt chrome chromecast chrysler cisco clickup \
    cloudflare cloudfoundry codeblocks codeigniter codepen codesandbox coffeescript coinbase commons contao copilot \
    cpanel cplusplus creativecommons csharp css3 dailymotion debian deepseek deezer deno deviantart dhl digg \
    digitalocean dinersclub dingtalk discord disney disqus docker dolby dotnet dribbble dropbox drupal ebay elastic \
    elevenlabs envato epicgames ethereum etsy evernote facebook fedex fedora feedly figma firebase firefox fitbit \
    fiverr flattr flickr flipboard flutter fontawesome ford foursquare framer gatsby gitbook github gitlab gmail \
    gnome goodreads google googledrive grammarly gumroad hackerrank hangouts harmonyos hashnode houzz html5 huawei \
    hubspot huggingface hulu ibm imdb instagram ios itunes jaguar jamstack java javascript jcb jeep jira joomla \
    jquery jsfiddle kakao kickstarter kirby klarna kofi kotlin kubernetes lamborghini laravel lastfm leetcode \
    lemonsqueezy linkedin linux litecoin livejournal lottiefiles macos maestro magento mailchimp mastercard mastodon \
    meetup mercedes microsoft microsoftoffice midjourney minecraft misskey modx monero mongodb mozilla myspace mysql \
    nasa netflix netlify nextjs nike nintendo nissan nodejs npm nuxt nvidia oculus ollama onedrive onenote openai \
    opencollective openid openvpn oracle patreon payoneer paypal paytm peerlist pepsi perplexity pexels photobucket \
    photoshop php phpbb pinboard pinterest playstation pnpm pokemon postgresql postman powerpoint prestashop prisma \
    producthunt python qiskit qq quora qwen raspberry raspberrypi reddit redux replit roblox rupay safari salesforce \
    samsung sass scribd shopify shutterstock sina sitecore skype slack slideshare snapchat soundcloud sourceforge \
    spacex spotify squarespace stackoverflow statista strava stumbleupon substack supabase svelte symfony tailwind \
    tampermonkey taobao teamviewer telegram tencent tesla tiktok tinder toyota trello tripadvisor tumblr twitch \
    twitter typescript uber ubuntu unionpay unlicense unsplash upwork uservoice vercel vespa viber vimeo visa \
    visualstudiocode vk vkontakte vmware volkswagen vscode vue vuejs w3schools wacom wattpad waze webawesome webflow \
    wechat weibo westernunion whatsapp wikipedia wordpress wps xampp xbox xing xrp yahoo yammer yandex yelp youtube \
    yuque zalo zapier zendframework zhihu";
