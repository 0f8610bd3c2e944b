# SPDX-License-Identifier: Apache-2.0
"""Plots about animals. See words.draw_cast for the slots and words.fill for the template language."""

from plot import Plot

PLOTS = [
    Plot(
        "{The Race|The <a> and the <b>}",
        "ab",
        """<animal_at_p> It was {very fast|the fastest of all the animals}, and it {told everyone about it|said so every day}. "{Nobody is as fast as I am|I am faster than all of you}," {it said|said the <a>}. "{Will you race with me|Let us have a race}," said {the slow|a slow} <b>. {The <a> laughed.|All the animals laughed.}
They {started|began to run} <at_p> and wanted to run {all the way |}<to_q>. Soon the <a> was far {in front|away}. "{I have time|The <b> is so slow}," it thought. "I will {sleep a little|rest under this tree|eat <food> first}." {And it fell asleep.|It lay down and closed its eyes.}
The <b> {did not stop|walked and walked}. Step by step, it {passed the <a>|went past the <a>}. When the <a> {woke up|opened its eyes}, it {ran as fast as it could|jumped up and ran}, but it was too late. The <b> was already <at_q>! {"Slow and steady wins the race," said the <b>.|The <b> got a <c> hat because it was the winner.} {The <a> never laughed at the <b> again.|"You were better than I was," said the <a>.}""",
        "A <a> and a <b> had a race, and the slow <b> won because the <a> stopped to rest.",
        [
            ("Who won{| the race}?", "The <b> won the race."),
            ("Who was faster?", "The <a> was faster."),
            ("Where did the race {end|go}?", "The race ended <at_q>."),
            ("Why did the <a> lose?", "The <a> lost because it stopped to rest."),
        ],
    ),
    Plot(
        "{The Lost Little <a>|Where Is My Mother?}",
        "ap",
        """{Once upon a time, a|One day, a|One evening, a} little <a> {lost its mother|could not find its mother}. It {sat down and cried|was alone} <at_p>. "{Why are you crying|What is wrong}, little <a>?" asked a <b>. "I cannot find my mother," said the little <a>.
"{Come, we will look for her|I will help you}," said the <b>. They {looked <at_q>|went <to_q>}, but {there was no other <a>|she was not there}. They asked {a|an old} <s>. "{I saw a big <a>|Yes, I saw her}," said the <s>. "She {was looking for her child|looked very sad}. She {went|walked} <to_o>."
They {ran|walked} <to_o>, and there she was! "{My child|There you are}!" cried the mother. The little <a> {ran to her|jumped for joy}. "{Thank you, dear <b>|You are a good friend}," said the mother and gave the <b> <food>. {From then on, the little <a> always stayed close to its mother.|That night, the little <a> slept close to its mother.}""",
        "A little <a> lost its mother, and a <b> helped to find her <at_o>.",
        [
            ("Who was lost?", "A little <a> was lost."),
            ("Who helped the little <a>?", "A <b> helped it."),
            ("Where was {the|its} mother?", "The mother was <at_o>."),
            ("Who saw {the|its} mother?", "A <s> saw the mother."),
            ("What did the <b> get?", "The <b> got <food>."),
        ],
    ),
    Plot(
        "{The <a> Who Could Not <x>|Learning to <x>}",
        "a",
        """{Once upon a time, there was a|There was once a} <size> <a> who could not <x>. All {its friends|the other animals} could <x>, and {so it was sad|they laughed at it}. "I will never learn it," said the <a>.
An old <b> lived <at_p>. "{I can teach you|Come to me every morning}," it said, "{but you must not give up|and you will learn it}." The first day, the <a> {tried and tried|tried <k> times}, but it {did not work|was too hard}. The second day, {it was a little better|it went a little better}. {"Do not stop now," said the <b>.|The <a> was tired, but it did not stop.}
{After a week|On the seventh day}, the <a> {closed its eyes and tried again|tried one more time}. And {it worked|it could do it}! "{Look, I can <x>|Now I can <x>}!" it cried. All the animals came <to_p> {to see it|and were surprised}. "{You did not give up|You worked hard}, and that is the secret," said the <b> {with a smile|and smiled}.""",
        "A <a> could not <x>, but it did not give up, and in the end it learned it.",
        [
            ("What could the <a> not do at first?", "At first, the <a> could not <x>."),
            ("Who {taught|helped} the <a>?", "An old <b> {taught|helped} the <a>."),
            ("Where did the <b> live?", "The <b> lived <at_p>."),
            ("Can the <a> <x> now?", "Yes, now the <a> can <x>."),
        ],
        {"x": ["sing", "swim", "dance", "count", "read"]},
    ),
    Plot(
        "{The Big <a> and the Little <b>|A Small Friend}",
        "ab",
        """A big <a> {was sleeping|slept} <at_p>. A little <b> {ran over its nose|was playing and fell on its back} and woke it up. "{Who is that|Who dares to wake me}?" {cried|asked} the <a>. "{Please let me go|I am sorry}," said the little <b>. "{One day I will help you|Maybe I can help you one day}." The <a> laughed. "You are so small! How can you help me?" But it let the <b> go.
{Some days later|The next week}, the <a> {fell into a net|was caught in a net} <at_q>. It {pulled and pulled|cried for help}, but the net {was too strong|did not break}. The little <b> {heard it|heard the cry} and came running. {"Wait, I am here," it said.|"Do not be afraid," it said.} It {bit|worked on} the net, {piece by piece|again and again}, until there was a big hole.
The <a> was free! "{You are small, but you are a great friend|I laughed at you, but you saved me}," said the <a>. {From that day on, they were friends.|After that, they ate <food> together every evening.} {And the <a> never laughed at small animals again.|And nobody was too small for the <a> any more.}""",
        "A big <a> let a little <b> go, and later the <b> saved the <a> from a net.",
        [
            ("Who saved the <a>?", "The little <b> saved the <a>."),
            ("Who woke the <a>?", "A little <b> woke the <a>."),
            ("Where was the net?", "The net was <at_q>."),
            ("{Where did the <a> sleep|Where was the <a> sleeping}?", "The <a> was sleeping <at_p>."),
            ("Why did the <a> laugh?", "It laughed because the <b> was so small."),
        ],
    ),
    Plot(
        "{The <a> in the Snow|A Cold Winter}",
        "ab",
        """{It was winter, and snow lay everywhere.|It was a very cold winter.} A <size> <a> had no {house|home} and was {cold|very cold}. It {went|walked} <to_p> and {knocked|knocked softly} at the door of a <b>. "{May I come in|Can I stay with you}?" it asked. "{No, my house is too small|No, go away}," said the <b>.
{Then|So} the <a> went <to_q>. There lived a <s>. "{May I come in|Can I stay with you}?" the <a> asked again. "{Of course, come in|Yes, come in quickly}," said the <s>. "{My house is small, but there is room for two|It is warm in here}." It gave the <a> <food> and a <c> blanket.
In the night, a {big storm|strong wind} came and {blew down|broke} the house of the <b>. {Now the <b> was cold too.|The <b> stood in the snow.} It came to the <s> and {the <a>|cried}. "{May I come in?|Please help me!}" it said. The <s> and the <a> looked at each other. "{Come in|There is room for three}," they said. {The <b> said that it was sorry.|"I am sorry that I was not kind," said the <b>.} They {lived together until spring|stayed together all winter}.""",
        "A <a> had no home in the winter, and a <s> let it in.",
        [
            ("Who said no{| to the <a>}?", "The <b> said no."),
            ("Who let the <a> in?", "The <s> let the <a> in."),
            ("Where did the <s> live?", "The <s> lived <at_q>."),
            ("What colour was the blanket?", "The blanket was <c>."),
            ("What did the <a> get to eat?", "The <a> got <food>."),
        ],
    ),
    Plot(
        "{The <a> Who Could Not Sleep|A Long Night}",
        "a",
        """{It was late|The moon was up}, but a little <a> could not sleep. It {turned left and right|counted the stars}, but {it was still awake|sleep did not come}. So it went to its friend, the <b>. "{What do you do when you cannot sleep|How do you fall asleep}?" it asked. "I {eat <food>|count to ten}," said the <b>. The <a> {did the same|tried it}, but it was still awake.
Then it went to the <s>. "{What do you do when you cannot sleep|How do you fall asleep}?" it asked. "I {sing a quiet song|look at the moon}," said the <s>. The <a> {did the same|tried it}, but it was {still|still not tired and} awake. 
{At last|In the end}, it went home to its mother. "I cannot sleep," it said. "{Come here, my dear|I know what you need}," said its mother. She put a <c> blanket around it and told it a story about a {star|river|small boat}. Before the story was over, the little <a> was asleep. {"Good night," said its mother quietly.|And the moon smiled.}""",
        "A <a> could not sleep, and in the end its mother told it a story.",
        [
            ("Who could not sleep?", "The <a> could not sleep."),
            ("What colour was the blanket?", "The blanket was <c>."),
            ("Who told a story?", "The mother told a story."),
            ("Who did the <a> ask first?", "First, it asked the <b>."),
            ("Who did the <a> ask {next|then}?", "Then it asked the <s>."),
        ],
    ),
    Plot(
        "{<n> Swaps Things|A Good Swap}",
        "nfa",
        """<child_at_p> In <n_her> hand <n_she> had a <c> <u>. {There sat a|Then <n_she> met a} <size> <a>. "{What a nice <u>|I like your <u>}," said the <a>. "{Will you swap it for|I will give you} <food>{?|, if I may have it.}" "{Yes|All right}," said <n> and gave the <u> to the <a>.
A little later, <n> met <f>. <f_She> was {very hungry|hungry} and {sad|tired}. "{I have had nothing to eat all day|I forgot my lunch}," said <f>. <n> {thought of <food>|looked into <n_her> bag}. "{Here, this is for you|Take this}," <n_she> said and gave <f> <food>. <f> ate it all and {smiled again|was happy again}.
"{I want to give you something too|You are a true friend}," said <f>. "{Here is my <d> <t>|Take my <d> <t>}." <n> {could not believe it|jumped for joy}, because <n_she> {had always wanted a <t>|loved the <d> <t>}. {So a <c> <u> became a <d> <t> and a good friend.|"This was the best swap of all," said <n>.}""",
        "<n> swapped a <c> <u> for <food>, gave the food to <f> and got a <d> <t>.",
        [
            ("What did <n> have at first?", "At first, <n> had a <c> <u>."),
            ("Who was hungry?", "<f> was hungry."),
            ("What did <f> give <n>?", "<f> gave <n> a <d> <t>."),
            ("What colour was the <t>?", "The <t> was <d>."),
            ("Who has the <u> now?", "The <a> has the <u> now."),
        ],
    ),
    Plot(
        "{The Boat|<n> and <f> Build a Boat}",
        "nfp",
        """<n> and <f> wanted to build a boat. {"We will sail over the lake," said <n>.|"It must be a <c> boat," said <n>.} They found some old wood <at_p> and {worked all morning|began to work}. When the boat was done, they {painted it <c>|gave it a <c> flag} and put it in the water. But {it sank|water came in} at once! "{Oh no|All our work}!" cried <f>.
{A <size> <a> had seen it all.|A <size> <a> was watching them.} "{There is a hole in your boat|Your boat has a hole}," said the <a>. "{I know|But I can show you} where you can find something to close it." It {took|led} them <to_q>, and there they found {a piece of cloth|some strong leaves}.
They {closed the hole|worked until the evening}, and {tried again|then they put the boat in the water again}. This time the boat did not sink. "{It works|We did it}!" they {cried|shouted}. "{Thank you, <a>|Come with us}!" {All three of them sailed over the lake.|They took the <a> with them, and they sailed until the sun went down.}""",
        "<n> and <f> built a <c> boat, it had a hole, and a <a> helped them to close it.",
        [
            ("What did {they|<n> and <f>} build?", "They built a boat."),
            ("Who helped them?", "The <a> helped them."),
            ("Where did they find the wood?", "They found the wood <at_p>."),
            ("Why did the boat sink?", "The boat sank because it had a hole."),
        ],
    ),
    Plot(
        "{The Snowman|<n> and the Snowman}",
        "nfa",
        """{It had snowed all night.|In the morning, there was snow everywhere.} <n> and <f> ran <to_p> and built a {big|fine} snowman. They gave him a <c> {scarf|hat} and a carrot for a nose. "{He looks so real|He is the best snowman of all}," said <f>. Then they {went home to eat|went in to get warm}.
When they came back, the carrot was gone! "Who took the nose?" asked <n>. There were {small marks|little steps} in the snow. They {followed them|went after them} <to_q>. {Behind a tree|Under a bush} sat a <size> <a> {with the carrot|and ate the carrot}. "I am {so |very |}hungry," said the <a>. "{In winter there is nothing to eat|I am sorry}."
<n> {was not angry|looked at the <a>}. "{You can have it|Keep the carrot}," <n_she> said. "{We have more at home|Tomorrow we will bring you more}." They gave the snowman a {stone|shell} for a nose. {Every day after that|All winter}, <n> and <f> {brought food for|took some food to} the <a>, and the snowman {seemed to smile|looked happy too}.""",
        "<n> and <f> built a snowman, and a hungry <a> took the carrot.",
        [
            ("Who took the {carrot|nose}?", "The <a> took the carrot."),
            ("What did {they|<n> and <f>} build?", "They built a snowman."),
            ("Where did they build {it|the snowman}?", "They built it <at_p>."),
            ("Where did they find the <a>?", "They found the <a> <at_q>."),
            ("Why did the <a> take the carrot?", "It was hungry."),
        ],
    ),
    Plot(
        "{The Star|<n> and the Star}",
        "np",
        """{One night|One clear night}, <n> {looked out of the window|could not sleep}. A {little|small} star fell from the sky and {landed|came down} <at_p>. <n> {took <n_her> <c> coat|put on <n_her> <c> coat} and {ran out|went to look for it}. {There it lay|There it was}, small and bright. "{I fell down|I am lost}," said the star. "{I cannot get home.|How can I get home?}"
"{I will help you|Do not cry}," said <n>. First <n_she> threw the star up as high as <n_she> could, but it {fell down again|came back down}. Then <n> {asked|went to} {a|an old} <s>. "{You need someone who can fly high|Climb to the highest place}," said the <s>. "{Go to the owl|The owl can fly to the moon}."
The owl {took the star in its mouth|listened to <n>} and {flew up|flew and flew}, higher and higher. {Soon the star was back in the sky.|At last, the star was home again.} "{Thank you, <n>|I will never forget you}!" it called. {Since then|From that night on}, one star {is a little brighter|shines through <n_poss> window}. "{Good night, little star|Good night}," says <n> every evening.""",
        "<n> found a star <at_p>, and an owl took it back to the sky.",
        [
            ("What fell from the sky?", "A star fell from the sky."),
            ("Where did {it|the star} land?", "The star landed <at_p>."),
            ("Who took the star {home|back}?", "The owl took the star back to the sky."),
            ("What colour was <n_poss> coat?", "<n_poss> coat was <c>."),
        ],
    ),
]
